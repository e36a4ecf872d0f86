"""What the roles grant is compared with what the audit log shows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests import rights
from tests.rights import Right

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

OPERATOR = "system:serviceaccount:mooring-system:mooring-operator"


def entry(verb: str, resource: str, *, user: str = OPERATOR, code: int = 200, **notes: str) -> dict[str, Any]:
    resource, _, subresource = resource.partition("/")
    about = {"resource": resource, "apiGroup": "mooring.dev"} | ({"subresource": subresource} if subresource else {})
    return {
        "user": {"username": user},
        "verb": verb,
        "objectRef": about,
        "responseStatus": {"code": code},
        "annotations": {
            f"authorization.k8s.io/{name}": value for name, value in ({"decision": "allow"} | notes).items()
        },
    }


def right(verb: str, resource: str) -> Right:
    return Right("mooring-operator", "mooring.dev", resource, verb)


def test_what_was_allowed_was_used_and_what_others_did_is_not_looked_at() -> None:
    entries = [entry("get", "installations"), entry("patch", "installations/status"), entry("list", "x", user="admin")]
    assert rights.asked(entries) == ({right("get", "installations"), right("patch", "installations/status")}, set())


def test_to_apply_what_is_not_there_is_to_create_it() -> None:
    used, _ = rights.asked([entry("patch", "nodestates", code=201)])
    assert used == {right("patch", "nodestates"), right("create", "nodestates")}


def test_what_rbac_denies_is_told_but_for_an_api_server_that_knows_no_roles_yet() -> None:
    denied = [entry("get", each, code=403, decision="forbid") for each in ("a", "b", "c")]
    elsewhere = entry("get", "c")
    elsewhere["objectRef"]["namespace"] = "mooring-system"
    used, told = rights.asked([*denied, entry("get", "b"), elsewhere])
    assert told == {right("get", "a"), right("get", "c")}, "a namespace that is not ours is no namespace of ours"
    assert used == {right("get", "b"), right("get", "c")}


def test_the_manifests_grant_each_account_something_and_the_mark_is_no_right() -> None:
    given = rights.granted(rights.objects())
    assert {each.account for each in given} == set(rights.ACCOUNTS)
    assert right("patch", "nodestates") in given
    assert not [each for each in given if each.verb == "change-only-own"]


def test_a_right_that_no_suite_uses_and_a_denial_are_problems() -> None:
    given = {right("get", "a"), right("list", "a"), right("watch", "a")}
    used = {"integration": {right("get", "a")}, "e2e": {right("list", "a")}}
    assert rights.problems(given, used, {"e2e": {right("get", "secrets")}}) == [
        "denied in e2e: mooring-operator: get secrets.mooring.dev",
        "granted, and used by no test: mooring-operator: watch a.mooring.dev",
    ]


def test_suites_that_run_in_parts_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rights, "FOLDER", tmp_path / "rights")
    log = tmp_path / "audit.jsonl"
    for verb in ("get", "list"):
        log.write_text(json.dumps(entry(verb, "a")) + "\n" + '{"cut": "system:serviceaccount:mooring-system:')
        rights.keep("e2e", log)
    [path] = (tmp_path / "rights").glob("e2e.*.json")
    assert [each[-1] for each in json.loads(path.read_text())["used"]] == ["get", "list"]


def test_where_a_suite_has_a_part_of_the_roles_its_denials_say_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rights, "FOLDER", tmp_path)
    log = tmp_path / "audit.jsonl"
    log.write_text(json.dumps(entry("get", "a", code=403, decision="forbid")) + "\n")
    rights.keep("part", log, whole=False)
    rights.keep("whole", log)
    denials = {path.name.partition(".")[0]: json.loads(path.read_text())["denied"] for path in tmp_path.glob("*.json")}
    assert {suite: len(each) for suite, each in denials.items()} == {"part": 0, "whole": 1}
