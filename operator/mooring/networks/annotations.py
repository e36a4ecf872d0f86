"""The annotations with which a pod asks for networks: owns both forms of their grammar.

The meta-plugin reads the same grammar in Go; plugin/contract/examples/selection.json holds both to it. Where
the specification says that a malformed annotation is ignored it is refused here, with the place: a pod must not
start without a network that somebody asked for. Nothing is looked up, so whether a network exists is unknown here.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from mooring.networks import confs, paths, requests, values

if TYPE_CHECKING:
    from mooring.networks.requests import Problem, Request

NETWORKS = "k8s.v1.cni.cncf.io/networks"
DEFAULT_NETWORK = "v1.multus-cni.io/default-network"

_JSON = re.compile(r'[\[{"]')
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_QUOTED_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}]', re.DOTALL)
#: Unicode's white space, which is less than what `str.strip` takes away.
_BLANKS = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_DEEPEST = 1000
_MOST = 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Selection:
    """What an annotation asks for, in order, and what is wrong with it; with problems no pod starts."""

    requests: tuple[Request, ...] = ()
    problems: tuple[Problem, ...] = ()


def parse(text: str, *, namespace: str) -> Selection:
    """Read an annotation in either form; `namespace` is the one of networks that name none. Never raises.

    Blank means no networks. Relations between requests (an interface twice) are not looked at.
    """
    if not text.strip(_BLANKS):
        return Selection()
    found = _json(text, namespace) if _JSON.search(text) else _text(text, namespace)
    return Selection(requests=tuple(found[0]), problems=tuple(found[1]))


def _json(text: str, namespace: str) -> tuple[list[Request], list[Problem]]:
    try:
        value = confs.parse(text, of_pairs=values.Members).value
    except confs.NotJSONError as error:
        place = f"line {error.place.line}, column {error.place.column}"
        problem = requests.Problem(
            place=place, message=f"The annotation is not JSON: {error.problem}, at {error.excerpt}.", remedy=error.hint
        )
        return [], [problem]
    if not isinstance(value, list):
        problem = requests.Problem(
            place="$",
            message="The annotation is JSON, but no list.",
            remedy='Write a list of objects: [{"name": "..."}], or a text: namespace/name@interface.',
        )
        return [], [problem]
    if _depth(text) > _DEEPEST:
        return [], [requests.Problem(place="$", message="The annotation is nested too deep.", remedy="Write it flat.")]
    if len(value) > _MOST:
        return [], [_too_many(len(value))]
    found: list[Request] = []
    problems: list[Problem] = []
    for index, item in enumerate(value):
        request, wrong = requests.read(item, namespace=namespace, place=paths.render((index,)))
        problems.extend(wrong)
        if request is not None:
            found.append(request)
    return found, problems


def _depth(text: str) -> int:
    deepest = depth = 0
    for match in _QUOTED_OR_BRACKET.finditer(text):
        depth += (match[0] in "[{") - (match[0] in "]}")
        deepest = max(deepest, depth)
    return deepest


def _too_many(count: int) -> Problem:
    return requests.Problem(
        place="$", message=f"{count} networks are asked for.", remedy=f"Ask for fewer; more than {_MOST} are not read."
    )


def _text(text: str, namespace: str) -> tuple[list[Request], list[Problem]]:
    control = _CONTROL.search(text)
    if control is not None:
        place = f"position {control.start() + 1}"
        return [], [requests.Problem(place=place, message="This is a control character.", remedy="Remove it.")]
    count = text.count(",") + 1
    if count > _MOST:
        return [], [_too_many(count)]
    found: list[Request] = []
    problems: list[Problem] = []
    position = 1
    for item in text.split(","):
        place = f"position {position + len(item) - len(item.lstrip(_BLANKS))}"
        position += len(item) + 1
        wrong = _item(item, namespace, place, found)
        if wrong is not None:
            problems.append(wrong)
    return found, problems


def _item(item: str, namespace: str, place: str, found: list[Request]) -> Problem | None:
    """Read `[namespace/]name[@interface]` into `found`, or say what is wrong with it."""

    def problem(message: str, remedy: str) -> Problem:
        return requests.Problem(place=place, message=message, remedy=remedy)

    if not item.strip(_BLANKS):
        return problem("Between two commas, or after the last one, stands no network.", "Remove the comma.")
    if item.count("/") > 1 or item.count("@") > 1 or (item.find("@") < item.find("/") and "@" in item):
        return problem(
            f"{values.quote(item.strip(_BLANKS))} is no network.", "Write namespace/name@interface, each part once."
        )
    front, at, interface = item.partition("@")
    chosen, slash, name = front.rpartition("/")
    chosen, name, interface = chosen.strip(_BLANKS), name.strip(_BLANKS), interface.strip(_BLANKS)
    if slash and not values.is_label(chosen):
        return problem(
            f"{values.quote(chosen)} is no namespace of a network." if chosen else "The namespace is empty.",
            "Write small letters, digits and `-`, at most 63.",
        )
    if "." in name or not values.is_subdomain(name):
        return problem(
            f"{values.quote(name)} is no name of a network." if name else "The name is empty.",
            "Write small letters, digits and `-`, at most 253; a name with dots needs the JSON form.",
        )
    wrong = values.interface_problem(interface) if at else None
    if wrong is not None:
        return problem(*wrong)
    found.append(requests.Request(namespace=chosen or namespace, name=name, interface=interface, place=place))
    return None
