"""Which rights the manifests grant, and which were asked for: owns comparing them, over all suites of a session.

Each suite that has an API server writes down, at its end, what our service accounts asked it (`keep`), in
build/rights. `python -m tests.rights` compares that with the roles: no request denied, no verb granted that no test
uses. It is for the whole session, and is run by `make test` after all suites; a part of the tests uses a part of the
rights. Refuses to guess: a right that no request shows is listed, whatever the code looks like.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CHECKOUT = Path(__file__).resolve().parents[1]
FOLDER = CHECKOUT / "build" / "rights"
SYSTEM = "mooring-system"
ACCOUNTS = ("mooring-operator", "mooring-agent", "mooring-plugin")
_PREFIX = f"system:serviceaccount:{SYSTEM}:"
# The plugin with the rights of statusBeforeStart, in the tests that tell it apart.
_ALIASES = {"mooring-plugin-and-status": "mooring-plugin"}
# No right to do something, but what the policies know an agent by.
_MARK = "change-only-own"
# What tests ask in the name of a service account to see that it has no right to it: account, verb, resource.
ASKED_IN_VAIN = {("mooring-agent", "patch", "nodestates")}
# What suites that are no part of `make test` show; where one has been run, its record counts as any other.
ELSEWHERE = {("mooring-operator", "get", "configmaps"): "tests/adoption"}


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Right:
    """What an account may do; `resource` with its subresource, as in roles."""

    account: str
    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        return f"{self.account}: {self.verb} {self.resource}{'.' * bool(self.group)}{self.group}"


def objects() -> list[dict[str, Any]]:
    """Return what the manifests hold."""
    base = CHECKOUT / "manifests" / "base"
    return [
        each
        for path in sorted(base.glob("*.yaml"))
        for each in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        if each
    ]


def granted(manifests: Iterable[dict[str, Any]]) -> set[Right]:
    """Return what roles and their bindings grant our accounts."""
    known = list(manifests)
    roles = {(each["kind"], each["metadata"]["name"]): each for each in known if each["kind"].endswith("Role")}
    return {
        Right(subject["name"], group, resource, verb)
        for binding in known
        if binding["kind"].endswith("RoleBinding")
        for subject in binding["subjects"]
        for rule in roles[binding["roleRef"]["kind"], binding["roleRef"]["name"]]["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if verb != _MARK
    }


def asked(entries: Iterable[dict[str, Any]]) -> tuple[set[Right], set[Right]]:
    """Return what our accounts did, and what was denied them, of the entries of an audit log.

    What a test does by kubectl in the name of an account shows nothing. Denied by RBAC alone: a policy that refuses is
    a test's business. An API server that has just begun knows no roles yet: what it denies then it allows at another
    time.
    """
    used, allowed = set(), set()
    denied: dict[tuple[Right, str, str], Right] = {}
    for entry in entries:
        name = str(entry.get("user", {}).get("username", "")).removeprefix(_PREFIX)
        account = _ALIASES.get(name, name)
        about = entry.get("objectRef") or {}
        by_hand = str(entry.get("userAgent", "")).startswith("kubectl")
        if account not in ACCOUNTS or "resource" not in about or by_hand:
            continue
        resource = "/".join(filter(None, (about["resource"], about.get("subresource"))))
        right = Right(account, about.get("apiGroup", ""), resource, entry["verb"])
        request = right, about.get("namespace", ""), about.get("name", "")
        notes = entry.get("annotations") or {}
        if notes.get("authorization.k8s.io/decision") == "allow":
            used.add(right)
            allowed.add(request)
            if right.verb == "patch" and (entry.get("responseStatus") or {}).get("code") == 201:
                # To apply what is not there takes both.
                used.add(dataclasses.replace(right, verb="create"))
        else:
            denied[request] = right
    return used, {right for request, right in denied.items() if request not in allowed}


def keep(suite: str, log: Path, *, whole: bool = True) -> None:
    """Write down what was asked in a suite, beside what was before.

    Where the suite does not have all roles of the manifests (`whole` is false), a denial says nothing.
    """
    with log.open(encoding="utf-8") as lines:
        used, denied = asked(json.loads(line) for line in lines if _PREFIX in line and line.endswith("}\n"))
    FOLDER.mkdir(parents=True, exist_ok=True)
    # Each process its own file: suites are run in several at a time.
    path = FOLDER / f"{suite}.{os.getpid()}.json"
    denied = denied if whole else set()
    before = json.loads(path.read_text()) if path.exists() else {"used": [], "denied": []}
    after = {
        "used": sorted({*map(tuple, before["used"]), *map(dataclasses.astuple, used)}),
        "denied": sorted({*map(tuple, before["denied"]), *map(dataclasses.astuple, denied)}),
    }
    path.write_text(json.dumps(after, indent=1) + "\n")


@contextlib.contextmanager
def kept(suite: str, log: Path, *, whole: bool = True) -> Iterator[None]:
    """Write down what was asked at the end of the block, whatever that is; `whole` as for `keep`."""
    try:
        yield
    finally:
        keep(suite, log, whole=whole)


def problems(given: set[Right], used: dict[str, set[Right]], denied: dict[str, set[Right]]) -> list[str]:
    """Return what is wrong, in a sentence each; `used` and `denied` are by suite."""
    found = [
        f"denied in {suite}: {right}"
        for suite, rights in sorted(denied.items())
        for right in sorted(rights)
        if (right.account, right.verb, right.resource) not in ASKED_IN_VAIN
    ]
    unused = given - set[Right]().union(*used.values())
    return found + [
        f"granted, and used by no test: {right}"
        for right in sorted(unused)
        if (right.account, right.verb, right.resource) not in ELSEWHERE
    ]


def main() -> int:
    """Compare and tell, with `quiet` only what is wrong; return the exit status of the process."""
    if sys.argv[1:] == ["clear"]:
        shutil.rmtree(FOLDER, ignore_errors=True)
        return 0
    used: dict[str, set[Right]] = {}
    denied: dict[str, set[Right]] = {}
    for path in sorted(FOLDER.glob("*.json")):
        suite, content = path.name.partition(".")[0], json.loads(path.read_text())
        for found_there, name in ((used, "used"), (denied, "denied")):
            found_there.setdefault(suite, set()).update(Right(*each) for each in content[name])
    given = granted(objects())
    found = problems(given, used, denied)
    if found or sys.argv[1:] != ["quiet"]:
        print(f"{len(given)} rights granted; seen in {', '.join(used) or 'no suite'}")
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
