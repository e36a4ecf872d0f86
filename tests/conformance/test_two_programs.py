"""The plugin is two programs: most calls need the small one alone, and it becomes the whole one to ask something."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from testbed import plugin as building
from tests.conformance.node import Json, Node, stub

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conformance.apiservers import Server

RECORDER = """#!/bin/sh
cat > "$0.stdin"
env > "$0.env"
echo '{"told":"by the other one"}'
exit 7
"""


@pytest.fixture
def alone(node: Node, plugin: Path) -> Node:
    """A node on which the small program has no whole one."""
    folder = node.root / "alone"
    folder.mkdir()
    node.plugin = folder / building.NAME
    shutil.copy(plugin, node.plugin)
    return node


def _asking(node: Node, **keys: object) -> Json:
    return node.conf(stub(), kubeconfig=str(node.root / "kubeconfig"), **keys)


def _whole(node: Node) -> Path:
    return node.plugin.with_name(building.WHOLE)


def test_what_asks_nobody_needs_the_small_program_alone(alone: Node) -> None:
    alone.network("a", stub("a"))
    conf, pod = _asking(alone), alone.pod()
    alone.add(conf, pod, "a").ok()
    for verb in ("CHECK", "DEL"):
        alone.call(verb, conf, pod).ok()
    alone.call("STATUS", conf | {"cniVersion": "1.1.0"}).ok()
    alone.call("VERSION", conf).ok()
    assert alone.left() == []


@pytest.mark.parametrize("size", [0, 1_000_000])
def test_to_ask_something_it_becomes_the_whole_program_with_the_same_call(alone: Node, size: int) -> None:
    _whole(alone).write_text(RECORDER)
    _whole(alone).chmod(0o755)
    conf, pod = _asking(alone, padding="x" * size), alone.pod()
    _, environment, stdin = alone.command("ADD", conf, pod)
    done = alone.call("ADD", conf, pod)
    assert (done.status, done.stdout) == (7, '{"told":"by the other one"}\n')
    assert _whole(alone).with_name("mooring-api.stdin").read_text() == stdin
    given = dict(line.split("=", 1) for line in _whole(alone).with_name("mooring-api.env").read_text().splitlines())
    assert given.items() >= environment.items()
    assert alone.calls() == []
    assert alone.left() == []


def test_without_the_whole_program_the_error_says_what_is_missing_and_where(alone: Node) -> None:
    error = alone.call("ADD", _asking(alone), alone.pod()).error
    assert error["code"] == 11
    assert "asking the API server for pod default/web" in error["msg"]
    assert f"mooring-api, which asks, is in none of the folders {alone.plugin.parent}, {alone.bin}" in error["msg"]
    assert alone.calls() == []
    assert alone.left() == []


def test_without_the_whole_program_a_stale_copy_of_a_network_serves(alone: Node) -> None:
    alone.beat(age=31)
    alone.network("a", stub("a"))
    alone.add(_asking(alone), alone.pod(), "a").ok()
    assert alone.ran() == ["ADD eth0", "ADD net1"]


def test_a_whole_program_that_is_none_is_told_and_not_executed_for_ever(alone: Node) -> None:
    shutil.copy(alone.plugin, _whole(alone))
    error = alone.call("ADD", _asking(alone), alone.pod()).error
    assert error["code"] == 11
    assert "install both programs of one release" in error["msg"]


def test_it_is_found_among_the_plugins_where_the_small_program_lies_elsewhere(
    alone: Node, plugin: Path, server: Server
) -> None:
    (alone.bin / building.WHOLE).symlink_to(plugin.with_name(building.WHOLE))
    server.network("a", stub("a"))
    alone.add(alone.conf(stub(), kubeconfig=server.kubeconfig), alone.pod(namespace=server.namespace), "a").ok()
    assert alone.ran() == ["ADD eth0", "ADD net1"]


def test_the_whole_program_does_everything_by_itself(node: Node, plugin: Path, server: Server) -> None:
    folder = node.root / "whole"
    folder.mkdir()
    node.plugin = folder / building.NAME
    shutil.copy(plugin.with_name(building.WHOLE), node.plugin)
    server.network("a", stub("a"))
    conf, pod = node.conf(stub(), kubeconfig=server.kubeconfig), node.pod(namespace=server.namespace)
    node.add(conf, pod, "a").ok()
    node.delete(conf, pod).ok()
    assert node.ran() == ["ADD eth0", "ADD net1", "DEL net1", "DEL eth0"]
    assert node.left() == []


def test_a_network_of_the_whole_programs_name_is_refused(node: Node) -> None:
    error = node.add(node.conf(stub(type=building.WHOLE)), node.pod()).error
    assert error["code"] == 7
    assert "meta-plugin" in error["msg"]


def test_the_small_program_is_less_than_half_of_the_whole_one(plugin: Path) -> None:
    assert plugin.stat().st_size * 2 < plugin.with_name(building.WHOLE).stat().st_size
