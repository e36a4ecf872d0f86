"""A path of the node is where the node's own links lead, as from the node's root."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mooring.node import places

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("links", "path", "found"),
    [
        ({}, "/opt/cni/bin", "opt/cni/bin"),
        ({"opt/cni": "/data/cni"}, "/opt/cni/bin", "data/cni/bin"),
        ({"opt/cni": "../data/cni"}, "/opt/cni/bin", "data/cni/bin"),
        ({"opt/cni": "../../../../data"}, "/opt/cni/bin", "data/bin"),
        ({"snap/current": "x1"}, "/snap/current/bin", "snap/x1/bin"),
        ({"a": "/b", "b": "/c/d"}, "/a/e", "c/d/e"),
    ],
)
def test_links_are_followed_as_the_node_does(tmp_path: Path, links: dict[str, str], path: str, found: str) -> None:
    for link, target in links.items():
        (tmp_path / link).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / link).symlink_to(target)
    assert places.follow(tmp_path, path) == tmp_path / found


def test_a_circle_is_an_error_that_names_the_path(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("/b")
    (tmp_path / "b").symlink_to("/a")
    with pytest.raises(OSError, match="/a/x"):
        places.follow(tmp_path, "/a/x")


def test_a_located_folder_and_what_is_in_it_are_seen_there(tmp_path: Path) -> None:
    (tmp_path / "data/net.d").mkdir(parents=True)
    (tmp_path / "etc/cni").mkdir(parents=True)
    (tmp_path / "etc/cni/net.d").symlink_to("/data/net.d")
    node = places.Places(tmp_path, "/opt/cni/bin", "/etc/cni/net.d", "/var/lib/mooring").located()
    assert node.confs == tmp_path / "data/net.d"
    assert node.seen(node.kubeconfig) == tmp_path / "data/net.d/mooring.d/kubeconfig"
    assert node.seen("/etc/cni/net.d2/x") == tmp_path / "etc/cni/net.d2/x"
    assert node.plugin == tmp_path / "opt/cni/bin/mooring"
    assert node.absent() == ["/opt/cni/bin", "/var/lib/mooring"]
    assert node.same("/etc/cni/net.d/", "/data/net.d")
    assert not node.same("/etc/cni/net.d", "/etc/cni")
