"""One request of a pod for a network: owns how the object of its JSON form is read; what a value may be is `values`'.

The source is chapter 4 of the NPWG specification 1.3 and what Multus adds to it. Keys are read in any case, as Go's
decoder reads them; of a key that stands more than once the last value counts, and all must be right. Unknown keys are
kept for a warning; those with a dot belong to somebody else.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from mooring.networks import values

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in an annotation: where (`$[0].mac`, `position 7`), what, and what to write instead."""

    place: str
    message: str
    remedy: str


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """A network that a pod asks for. `default_route` is None where the key is absent, else its gateways."""

    namespace: str
    name: str
    interface: str = ""
    place: str = "$"
    ips: tuple[str, ...] = ()
    mac: str = ""
    infiniband_guid: str = ""
    default_route: tuple[str, ...] | None = None
    ipam_claim: str = ""
    unknown: tuple[str, ...] = ()


def read(item: object, *, namespace: str, place: str) -> tuple[Request | None, list[Problem]]:
    """Read one object; `place` is where it stands. Never raises."""
    if not isinstance(item, dict):
        return None, [Problem(place=place, message="This is no object.", remedy='Write {"name": "..."}.')]
    problems: list[Problem] = []
    kept: dict[str, Any] = {}
    unknown: dict[str, None] = {}
    for key, written, value in values.members(item, values.CHECKS):
        if not key:
            if "." not in written:
                unknown[written] = None
        elif value is not None:
            kept[key] = value
            for where, message, remedy in values.CHECKS[key](value):
                problems.append(Problem(place=f"{place}.{written}{where}", message=message, remedy=remedy))
        elif not isinstance(kept.get(key), str):
            kept.pop(key, None)  # in Go's decoder null takes away a list or an object, and leaves a text as it is
    problems.extend(_between(kept, place))
    if problems:
        return None, problems
    gateways = kept.get("default-route")
    return (
        Request(
            namespace=kept.get("namespace") or namespace,
            name=kept["name"],
            interface=kept.get("interface") or kept.get("interfaceRequest") or "",
            place=place,
            ips=tuple(kept.get("ips") or ()),
            mac=values.colons(kept.get("mac") or ""),
            infiniband_guid=values.colons(kept.get("infiniband-guid") or ""),
            default_route=None if gateways is None else tuple(str(values.gateway(text)) for text in gateways),
            ipam_claim=kept.get("ipam-claim-reference") or "",
            unknown=tuple(unknown),
        ),
        [],
    )


def _between(item: Mapping[str, object], place: str) -> Iterator[Problem]:
    """Say what is wrong with keys that are right each on its own."""
    if item.get("name", "") == "":
        yield Problem(
            place=f"{place}.name", message="The request has no `name`.", remedy="Write the name of the network."
        )
    one, other = item.get("interface"), item.get("interfaceRequest")
    if one and other and one != other:
        yield Problem(
            place=f"{place}.interfaceRequest",
            message="`interface` and its old name `interfaceRequest` contradict one another.",
            remedy="Keep `interface`.",
        )
    if item.get("ips") and item.get("ipam-claim-reference"):
        yield Problem(
            place=f"{place}.ips",
            message="A claim brings the addresses, so that none can be asked for.",
            remedy="Keep `ips` or `ipam-claim-reference`.",
        )
