"""Plugin sets: owns what an administrator says of further CNI plugins, and what of it cannot be.

Refuses two programs of one name, and our own plugin's: whichever came last would win on the node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import pydantic

from mooring.installing.models import Model, rule

if TYPE_CHECKING:
    from collections.abc import Iterable


def _no_way_up(path: str) -> str:
    """Refuse a path that leaves the folder which it seems to be in."""
    if ".." in path.split("/"):
        raise ValueError("write the path without ..")
    return path


AbsolutePath = Annotated[
    str,
    pydantic.Field(
        pattern=r"^/[^\s]*$",
        max_length=255,
        json_schema_extra=rule("!('..' in self.split('/'))", "write the path without .."),
    ),
    pydantic.AfterValidator(_no_way_up),
]
SecretName = Annotated[str, pydantic.Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
OURS = ("mooring", "mooring-api")
DHCP = "dhcp"


class PluginBinary(Model):
    """One binary of an image."""

    name: str = pydantic.Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100, description="Its name on the node."
    )
    path: AbsolutePath = pydantic.Field(description="Its path in the image.")
    sha256: str = pydantic.Field(pattern=r"^[0-9a-f]{64}$", description="Its checksum.")


class PluginSet(Model):
    """Further CNI plugins to distribute."""

    name: str = pydantic.Field(
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=40, description="A name for messages."
    )
    image: str = pydantic.Field(min_length=1, description="The image that holds them.")
    binaries: list[PluginBinary] = pydantic.Field(min_length=1, max_length=64, description="What to take from it.")
    overwrite: bool = pydantic.Field(
        False,
        description="Whether a file of the same name that somebody else put on a node is replaced. It is kept, and put "
        "back when the set no longer has that name.",
    )
    delivery: Literal["Auto", "ImageVolume", "Container"] = pydantic.Field(
        "Auto",
        description="How the files get out of the image: ImageVolume mounts it, Container runs a static program of "
        "Mooring's in it. Auto takes the first where all selected nodes can (Kubernetes 1.35, with containerd 2.1 or "
        "CRI-O 1.31), else the second.",
    )
    image_pull_secrets: list[SecretName] = pydantic.Field(
        default_factory=list,
        max_length=8,
        description="Names of Secrets in the operator's namespace by which the image can be pulled.",
    )


def contradictions(sets: Iterable[PluginSet]) -> list[str]:
    """Return what cannot be, in sentences; nothing where all of it can."""
    found: list[str] = []
    names: set[str] = set()
    owners: dict[str, str] = {}
    for each in sets:
        if each.name in names:
            found.append(f"Two plugin sets have the name {each.name}.")
        names.add(each.name)
        for binary in each.binaries:
            if binary.name in OURS:
                found.append(f"The plugin set {each.name} has a binary {binary.name}: that name is Mooring's own.")
            if binary.name in owners:
                found.append(f"The plugin sets {owners[binary.name]} and {each.name} both have a binary {binary.name}.")
            owners.setdefault(binary.name, each.name)
    return found
