"""NAD and CFG: what the API server answers, and what takes its place while it is silent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.conformance import apiservers
from tests.conformance.node import Node, stub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conformance.apiservers import Absent

REFUSED = json.dumps({"kind": "Status", "message": "the server said no"}).encode()
ANSWERS = [400, 401, 403, 404]
SILENCE = [500, 503, 429]


@pytest.fixture
def away(tmp_path: Path) -> Iterator[Absent]:
    """A kubeconfig of a server that never answers."""
    with apiservers.absent(tmp_path) as absent:
        yield absent


@pytest.mark.parametrize("status", ANSWERS)
def test_NAD_10_after_an_answer_no_stale_copy_serves(node: Node, status: int) -> None:
    node.netns = None
    node.beat(age=31)
    node.network("a", stub("a"))
    with apiservers.answering(node.root, {"default": (status, REFUSED)}) as kubeconfig:
        error = node.add(node.conf(stub(), kubeconfig=kubeconfig), node.pod(), "a").error
    assert error["code"] == (7 if status == 404 else 11)
    assert "default/a" in error["msg"]
    if status != 404:
        assert f"status {status}: the server said no" in error["msg"]
    assert node.calls() == []


@pytest.mark.parametrize("status", SILENCE)
def test_NAD_10_a_server_that_cannot_answer_is_as_one_that_is_away(node: Node, status: int) -> None:
    node.netns = None
    node.beat(age=31)
    node.network("a", stub("a"))
    with apiservers.answering(node.root, {"default": (status, REFUSED)}) as kubeconfig:
        done = node.add(node.conf(stub(), kubeconfig=kubeconfig), node.pod(), "a")
    done.ok()
    assert "stale" in done.stderr
    assert node.ran() == ["ADD eth0", "ADD net1"]


def _keys(where: str) -> dict[str, object]:
    return {"clusterNetwork": "primary"} if where == "clusterNetwork" else {"defaultNetworks": ["primary"]}


def _files(node: Node) -> None:
    (node.confs / "10-primary.conf").write_text(json.dumps(stub("primary", found="file")))


@pytest.mark.parametrize("where", ["clusterNetwork", "defaultNetworks"])
@pytest.mark.parametrize("status", [403, 401, 500, 429])
def test_CFG_10_a_file_does_not_replace_a_network_that_nobody_says_is_absent(
    node: Node, status: int, where: str
) -> None:
    node.netns = None
    _files(node)
    with apiservers.answering(node.root, {"kube-system": (status, REFUSED)}) as kubeconfig:
        error = node.add(node.conf(stub(), kubeconfig=kubeconfig, **_keys(where)), node.pod(), "").error
    assert error["code"] == 11
    assert "kube-system/primary" in error["msg"]
    assert node.calls() == []


@pytest.mark.parametrize("where", ["clusterNetwork", "defaultNetworks"])
def test_CFG_10_with_the_server_away_a_file_does_not_replace_a_network(node: Node, away: Absent, where: str) -> None:
    node.netns = None
    _files(node)
    error = node.add(node.conf(stub(), kubeconfig=away.kubeconfig, **_keys(where)), node.pod(), "").error
    assert error["code"] == 11
    assert node.calls() == []


@pytest.mark.parametrize("where", ["clusterNetwork", "defaultNetworks"])
def test_CFG_10_a_file_counts_where_the_server_says_that_there_is_no_such_network(node: Node, where: str) -> None:
    node.netns = None
    _files(node)
    with apiservers.answering(node.root, {"kube-system": (404, REFUSED)}) as kubeconfig:
        node.add(node.conf(stub(), kubeconfig=kubeconfig, **_keys(where)), node.pod(), "").ok()
    assert node.calls()[-1]["conf"]["found"] == "file"


def test_CFG_10_a_stale_copy_of_a_default_network_comes_before_the_file(node: Node, away: Absent) -> None:
    node.netns = None
    node.beat(age=31)
    _files(node)
    node.network("primary", stub("primary", found="copy"), namespace="kube-system")
    conf = node.conf(kubeconfig=away.kubeconfig, clusterNetwork="primary")
    node.add(conf, node.pod(), "").ok()
    assert node.calls()[0]["conf"]["found"] == "copy"


def test_CFG_10_an_unreadable_copy_is_not_taken_for_an_absent_network(node: Node) -> None:
    _files(node)
    node.network("primary", stub("primary"), namespace="kube-system")
    (node.state / "networks" / "kube-system" / "primary.json").write_text("{")
    error = node.add(node.conf(clusterNetwork="primary"), node.pod(), "").error
    assert "unreadable" in error["msg"]
    assert node.calls() == []
