"""Revisions: owns how an Installation becomes the content-addressed document that changes a node.

Pure: the same Installation and image give the same bytes and the same name, whoever computes them. The format is
in docs/contracts.md; its version is `VERSION`. `renderer` says which code makes the node's conf of it, so that an agent
that is newer than the revision changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from mooring.installing import renderers

if TYPE_CHECKING:
    from mooring.installing.installations import InstallationSpec

VERSION = 2
KEY = "revision.json"
PREFIX = "mooring-revision-"
LABELS = {
    "app.kubernetes.io/name": "mooring",
    "app.kubernetes.io/component": "revision",
    "app.kubernetes.io/managed-by": "mooring-operator",
}


def document(spec: InstallationSpec, *, image: str) -> str:
    """Return the canonical JSON of the revision: sorted keys, no blanks."""
    content = {
        "version": VERSION,
        "image": image,
        "paths": spec.paths.resolved(),
        "defaultNetwork": spec.default_network,
        "plugin": spec.plugin.conf_keys(),
        "renderer": renderers.NEWEST,
        # What has its default is absent: a field that is added later changes no revision.
        "pluginSets": [each.model_dump(mode="json", by_alias=True, exclude_defaults=True) for each in spec.plugin_sets],
        "dhcpDaemon": spec.dhcp_daemon,
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def revert(spec: InstallationSpec, config_map: dict[str, Any]) -> tuple[InstallationSpec, str]:
    """Return the Installation with the folders of a stored revision, and that revision's image.

    Raises:
        ValueError: the ConfigMap holds no revision.
    """
    stored = json.loads((config_map.get("data") or {}).get(KEY, ""))
    paths = stored["paths"]
    folders = spec.paths.model_copy(
        update={
            "cni_bin_dir": paths["cniBinDir"],
            "cni_conf_dir": paths["cniConfDir"],
            "state_dir": paths["stateDir"],
        }
    )
    return spec.model_copy(update={"paths": folders}), str(stored["image"])


def name(content: str) -> str:
    """Return the name of the ConfigMap that holds this document."""
    return PREFIX + hashlib.sha256(content.encode()).hexdigest()[:10]


def config_map(content: str, *, namespace: str, owner: dict[str, Any]) -> dict[str, Any]:
    """Return the immutable ConfigMap of a revision, owned by the Installation."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name(content),
            "namespace": namespace,
            "labels": dict(LABELS),
            "ownerReferences": [owner],
        },
        "immutable": True,
        "data": {KEY: content},
    }


def superfluous(names: list[str], *, wanted: set[str], newest_first: list[str], keep: int = 3) -> list[str]:
    """Return the revisions to delete: neither wanted by anybody nor among the newest.

    Args:
        names: all revisions that exist.
        wanted: those that the Installation or a NodeState names.
        newest_first: the names by age.
        keep: how many of the newest stay for going back.
    """
    kept = wanted | set(newest_first[:keep])
    return [each for each in names if each not in kept]
