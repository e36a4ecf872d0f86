"""What the operator does with a Multus, where rights lack or somebody applies its manifest again."""

from __future__ import annotations

import copy
import datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mooring.controller import adopting
from mooring.controller.passes import Pass
from mooring.installing import adoptions
from mooring.installing.installations import InstallationSpec
from mooring.kube import errors
from tests.unit.installing.deployments import thin

BEGIN = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
ADOPTED = {"mooring.dev/adopted": "multus"}


class Api:
    """Holds the DaemonSets, or lets nobody list them; remembers what is written."""

    def __init__(self, *daemon_sets: dict[str, Any], forbidden: bool = False) -> None:
        self._daemon_sets = daemon_sets
        self._forbidden = forbidden
        self.applied: list[dict[str, Any]] = []
        self.labels: list[str | None] = []

    async def list(self, _: object) -> dict[str, Any]:
        if self._forbidden:
            raise errors.Forbidden(status=403, message="cannot list daemonsets")
        return {"items": list(self._daemon_sets)}

    async def get(self, *_: object, **__: object) -> dict[str, Any]:
        return {}

    async def apply(self, _: object, body: dict[str, Any], **__: object) -> None:
        self.applied.append(body)

    async def patch(self, _: object, __: str, patch: dict[str, Any], **___: object) -> None:
        self.labels += patch["metadata"]["labels"].values()


def adopter(api: Api, *, labels: dict[str, str], waited: int = 0) -> adopting.Adopter:
    nodes = SimpleNamespace(store={"n1": {"metadata": {"name": "n1", "labels": labels}}})
    return adopting.Adopter(
        cast("Any", api),
        cast("Any", api),
        cast("Any", SimpleNamespace(nodes=nodes)),
        cast("Any", SimpleNamespace(all=dict, ours=dict)),
        now=lambda: BEGIN + datetime.timedelta(seconds=waited),
    )


def installation(*, imported: bool) -> dict[str, Any]:
    metadata: dict[str, Any] = {"uid": "i", "generation": 1, "deletionTimestamp": BEGIN.isoformat()}
    if imported:
        metadata["annotations"] = {adoptions.IMPORTED: "kube-system/kube-multus-ds"}
    return {"metadata": metadata, "spec": {"adopt": "Multus"}}


class TestAnUninstallThatMayNotLookForMultus:
    async def test_ends_where_nothing_was_adopted(self) -> None:
        leaving = adopter(Api(forbidden=True), labels={})
        assert await leaving.leave(installation(imported=False), InstallationSpec()) == ""

    @pytest.mark.parametrize(("imported", "labels"), [(True, {}), (False, ADOPTED)])
    async def test_waits_for_the_right_where_something_was(self, imported: bool, labels: dict[str, str]) -> None:
        with pytest.raises(errors.Forbidden):
            await adopter(Api(forbidden=True), labels=labels).leave(installation(imported=imported), InstallationSpec())

    async def test_takes_the_labels_and_ends_when_patience_does(self) -> None:
        api = Api(forbidden=True)
        spec = InstallationSpec()
        leaving = adopter(api, labels=ADOPTED, waited=spec.rollout.progress_deadline_seconds)
        assert await leaving.leave(installation(imported=True), spec) == ""
        assert api.labels == [None]
        assert api.applied == []


def kept_away(*, on_delete: bool, rule: bool = True) -> dict[str, Any]:
    """Return the thin one as the operator changed it, or with half of that."""
    item = copy.deepcopy(thin())
    (found,) = adoptions.find([item])
    body = adoptions.exclusion(found)["spec"]
    if rule:
        item["spec"]["template"]["spec"] |= body["template"]["spec"]
    if on_delete:
        item["spec"]["updateStrategy"] = body["updateStrategy"]
    item["metadata"]["managedFields"] = [{"manager": adoptions.FIELD_MANAGER}]
    return item


async def switched(api: Api) -> Pass:
    spec = InstallationSpec.model_validate({"adopt": "Multus"})
    done = Pass(installation(imported=True), spec)
    beside = adopter(api, labels=ADOPTED)
    assert not await beside.begin(done, spec)
    await beside.switch(done, spec)
    return done


class TestAManifestThatIsAppliedAgainWhileMultusIsAdopted:
    @pytest.mark.parametrize(("on_delete", "rule"), [(False, True), (True, False), (False, False)])
    async def test_is_put_right_and_told_also_where_no_further_node_is_ready(self, on_delete: bool, rule: bool) -> None:
        api = Api(kept_away(on_delete=on_delete, rule=rule))
        done = await switched(api)
        assert [each["spec"]["updateStrategy"] for each in api.applied] == [{"type": "OnDelete"}]
        (problem,) = done.problems
        assert problem.reason == "MultusAppliedAgain"
        assert "kube-system/kube-multus-ds" in problem.message

    async def test_is_left_alone_where_nothing_was_taken_back(self) -> None:
        api = Api(kept_away(on_delete=True))
        done = await switched(api)
        assert (api.applied, done.problems) == ([], [])

    async def test_is_left_alone_where_it_keeps_multus_away_by_itself(self) -> None:
        item = kept_away(on_delete=False)
        del item["metadata"]["managedFields"]
        api = Api(item)
        done = await switched(api)
        assert (api.applied, done.problems) == ([], [])
