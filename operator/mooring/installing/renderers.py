"""Renderers: own the bytes of `00-multus.conf`, each version for ever; refuse a version that they do not know.

A revision names the renderer that makes its conf, so an agent that is newer than its revision writes what the agent
before it wrote. Nobody changes what a renderer that was released writes: whoever wants other bytes adds the next number
beside it, and the examples in `operator/contract/confs` hold each to what it wrote first. Which network is the primary
is no renderer's business: that is read from the node, and stays pinned there.

| renderer | what is new |
|---|---|
| 1 | `cniVersion` is always 1.0.0 |
| 2 | `cniVersion` is the highest that the container runtime parses |
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from mooring.installing import confs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_KEPT = frozenset(
    {"cniVersion", "name", "type", "delegates", "clusterNetwork", "capabilities", "binDir", "cniDir", "kubeconfig"}
    | {confs.AUXILIARY_NAME, confs.AUXILIARY}
)


class UnknownRendererError(ValueError):
    """A renderer that this code does not have; the text is a sentence."""


@dataclasses.dataclass(frozen=True, slots=True)
class Content:
    """What a conf is made of; the folders are the node's own paths."""

    primary: confs.Primary
    bin_dir: str
    state_dir: str
    kubeconfig: str
    plugin: Mapping[str, Any]
    """Further keys as they stand; none of ours among them counts."""
    auxiliary: dict[str, Any] | None = None
    cni_version: str = "1.0.0"
    """The highest version of CNI that the node's container runtime parses."""


def render(renderer: int, content: Content) -> bytes:
    """Return the bytes of the conf; raises `UnknownRendererError`."""
    try:
        make = _RENDERERS[renderer]
    except KeyError:
        raise UnknownRendererError(
            f"the conf is to be made by renderer {renderer}, and this version knows renderers up to {NEWEST}"
        ) from None
    return make(content)


def _first(content: Content) -> bytes:
    return _document(content, cni_version="1.0.0")


def _second(content: Content) -> bytes:
    return _document(content, cni_version=content.cni_version)


def _document(content: Content, *, cni_version: str) -> bytes:
    """Return the form that renderers 1 and 2 share."""
    extra = content.plugin.get("capabilities")
    capabilities = {
        **(extra if isinstance(extra, dict) else {}),
        **content.primary.capabilities,
        confs.ANNOTATIONS_CAPABILITY: True,
    }
    conf: dict[str, Any] = {
        "cniVersion": cni_version,
        "name": confs.NETWORK,
        "type": confs.TYPE,
        "capabilities": dict(sorted(capabilities.items())),
        "binDir": content.bin_dir,
        "cniDir": content.state_dir,
        "kubeconfig": content.kubeconfig,
    }
    conf.update((key, content.plugin[key]) for key in sorted(content.plugin) if key not in _KEPT)
    conf["delegates"] = [content.primary.conf]
    if content.auxiliary is not None:
        conf[confs.AUXILIARY] = content.auxiliary
    # Escapes instead of UTF-8: half of a surrogate pair, which JSON can spell, has no bytes.
    return (json.dumps(conf, indent=2) + "\n").encode()


_RENDERERS: Mapping[int, Callable[[Content], bytes]] = {1: _first, 2: _second}
NEWEST = max(_RENDERERS)
"""The one that new revisions name."""


def known(renderer: int) -> bool:
    """Say whether this code has a renderer."""
    return renderer in _RENDERERS
