"""What the leader writes of certificate and webhook configuration, over an API server in memory."""

from __future__ import annotations

import asyncio
import copy
import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from mooring.admission import certificates, configuration
from mooring.controller import keys, webhook
from mooring.kube import errors, resources

if TYPE_CHECKING:
    from collections.abc import Callable

NAMESPACE = "mooring-system"
NOW = datetime.datetime.now(datetime.UTC)
SECRET = (resources.SECRETS.plural, certificates.SECRET)
CONFIGURATION = (resources.VALIDATING_WEBHOOKS.plural, configuration.NAME)
ROLE = (resources.CLUSTER_ROLES.plural, keys.CLUSTER_ROLE)
MANIFEST = Path(__file__).parents[3] / "manifests" / "base" / "webhook.yaml"
WRITTEN: dict[str, Any] = yaml.safe_load(MANIFEST.read_text())["webhooks"][0]


class Shelf:
    """Objects by kind and name; notes what was written."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {
            ROLE: {"metadata": {"name": keys.CLUSTER_ROLE, "uid": "role-uid"}},
            CONFIGURATION: {
                "metadata": {"name": configuration.NAME, "uid": "7"},
                "webhooks": [WRITTEN | {"clientConfig": {}, "failurePolicy": "Fail"}],
            },
        }
        self.written: list[dict[str, Any]] = []

    async def get(self, resource: resources.Resource, name: str, **_: Any) -> dict[str, Any]:
        found = self.objects.get((resource.plural, name))
        if found is None:
            raise errors.NotFound(status=404)
        return copy.deepcopy(found)

    async def create(self, resource: resources.Resource, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        name = body["metadata"]["name"]
        if (resource.plural, name) in self.objects:
            raise errors.Conflict(status=409, reason="AlreadyExists")
        return await self.apply(resource, body)

    async def apply(self, resource: resources.Resource, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        key = (resource.plural, body["metadata"]["name"])
        before = self.objects.get(key, {"metadata": {}})
        asked = body["metadata"].get("resourceVersion")
        if asked is not None and asked != before["metadata"].get("resourceVersion"):
            raise errors.Conflict(status=409)
        self.written.append(body)
        self.objects[key] = copy.deepcopy(body)
        self.objects[key]["metadata"]["resourceVersion"] = str(len(self.written))
        return body

    @property
    def kinds(self) -> list[str]:
        return [body["kind"] for body in self.written]

    def hold(self, bundle: certificates.Bundle) -> None:
        secret: dict[str, Any] = dict(certificates.to_secret(bundle, namespace=NAMESPACE))
        secret["metadata"] = {"name": certificates.SECRET, "resourceVersion": "41"}
        self.objects[SECRET] = secret

    @property
    def bundle(self) -> certificates.Bundle:
        return certificates.from_secret(self.objects[SECRET])


class Subject:
    """A reconciler with its surroundings."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.now = NOW
        self.told: list[tuple[str, bool]] = []
        self.changes = 0
        self.serving = SimpleNamespace(
            configurations=SimpleNamespace(synced=asyncio.Event()), configuration=None, failure_policy="Fail"
        )
        self.serving.configurations.synced.set()
        self.reconciler = webhook.Reconciler(
            shelf,  # type: ignore[arg-type]  # it answers alike
            self.serving,  # type: ignore[arg-type]
            namespace=NAMESPACE,
            tell=self._tell,
            changed=self._changed,
            now=lambda: self.now,
        )

    async def _tell(self, reason: str, note: str, warning: bool) -> None:
        assert note.endswith(".")
        self.told.append((reason, warning))

    def _changed(self) -> None:
        self.changes += 1

    async def reconcile(self) -> float | None:
        found = self.shelf.objects.get(CONFIGURATION)
        if found is not None:
            found["metadata"].setdefault("uid", "7")
            # The API server keeps what others wrote beside what is applied.
            found["webhooks"] = [WRITTEN | each for each in found["webhooks"]]
        self.serving.configuration = found
        return await self.reconciler.reconcile()

    @property
    def reasons(self) -> list[str]:
        return [problem.reason for problem in self.reconciler.problems]

    def edit(self, change: Callable[[dict[str, Any]], object]) -> None:
        change(self.shelf.objects[CONFIGURATION]["webhooks"][0])


@pytest.fixture
async def subject() -> Subject:
    return Subject(Shelf())


async def test_the_leader_makes_a_certificate_and_has_the_api_server_trust_it(subject: Subject) -> None:
    await subject.reconcile()
    assert subject.shelf.kinds == ["Secret", "ValidatingWebhookConfiguration"]
    written = subject.shelf.written[1]
    assert written["webhooks"] == [
        {
            "name": configuration.WEBHOOK,
            "clientConfig": {"caBundle": certificates.ca_bundle(subject.shelf.bundle)},
            "failurePolicy": "Fail",
        }
    ]
    assert written["metadata"]["ownerReferences"][0]["uid"] == "role-uid"
    assert subject.reasons == []
    assert subject.told == [("CertificateMade", False)]


async def test_what_is_in_order_is_not_written_again(subject: Subject) -> None:
    await subject.reconcile()
    before = len(subject.shelf.written)
    assert await subject.reconcile() == 3600
    assert len(subject.shelf.written) == before


async def test_an_old_certificate_is_renewed_and_its_authority_stays_trusted(subject: Subject) -> None:
    old = certificates.make(namespace=NAMESPACE, now=NOW - datetime.timedelta(days=300))
    subject.shelf.hold(old)
    await subject.reconcile()
    assert subject.shelf.bundle != old
    assert subject.shelf.bundle.ca_certificates.endswith(old.ca_certificates)
    assert subject.told == [("CertificateRenewed", False)]


async def test_a_renewal_and_another_failure_policy_mend_nothing(subject: Subject) -> None:
    await subject.reconcile()
    subject.told.clear()
    subject.now = NOW + datetime.timedelta(days=300)
    await subject.reconcile()
    subject.serving.failure_policy = "Ignore"
    await subject.reconcile()
    assert len(subject.shelf.written) == 5
    assert subject.told == [("CertificateRenewed", False)]


async def test_a_secret_that_was_deleted_is_made_anew_and_what_replicas_show_stays_trusted(subject: Subject) -> None:
    await subject.reconcile()
    before = subject.shelf.bundle
    for _ in range(3):
        shown = subject.shelf.bundle
        del subject.shelf.objects[SECRET]
        await subject.reconcile()
        trusted = certificates.from_ca_bundle(subject.shelf.written[-1]["webhooks"][0]["clientConfig"]["caBundle"])
        assert certificates.trusts(trusted, shown)
        assert certificates.trusts(trusted, subject.shelf.bundle)
    assert not certificates.trusts(trusted, before), "not for ever"
    written = len(subject.shelf.written)
    await subject.reconcile()
    assert len(subject.shelf.written) == written


async def test_a_secret_that_holds_no_certificate_is_replaced(subject: Subject) -> None:
    subject.shelf.objects[SECRET] = {"metadata": {"name": certificates.SECRET, "resourceVersion": "41"}, "data": {}}
    await subject.reconcile()
    assert subject.shelf.kinds[0] == "Secret"
    assert subject.shelf.bundle.certificate


async def test_a_certificate_that_another_replica_wrote_meanwhile_is_not_overwritten(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject.shelf.hold(certificates.make(namespace=NAMESPACE, now=NOW - datetime.timedelta(days=300)))
    make = certificates.make

    def slowly(**how: Any) -> certificates.Bundle:
        subject.shelf.objects[SECRET]["metadata"]["resourceVersion"] = "42"
        return make(**how)

    monkeypatch.setattr(certificates, "make", slowly)
    with pytest.raises(errors.Conflict):
        await subject.reconcile()
    assert subject.shelf.written == []


async def test_a_failure_policy_follows_the_installation(subject: Subject) -> None:
    subject.serving.failure_policy = "Ignore"
    await subject.reconcile()
    assert subject.shelf.written[-1]["webhooks"][0]["failurePolicy"] == "Ignore"


async def test_a_foreign_ca_bundle_is_mended_with_an_event(subject: Subject) -> None:
    await subject.reconcile()
    subject.told.clear()
    subject.edit(lambda ours: ours.update(clientConfig={"caBundle": "Zm9yZWlnbg=="}))
    await subject.reconcile()
    present = subject.shelf.objects[CONFIGURATION]["webhooks"][0]["clientConfig"]["caBundle"]
    assert present == certificates.ca_bundle(subject.shelf.bundle)
    assert subject.told == [("WebhookConfigurationMended", False)]


async def test_a_ca_bundle_that_somebody_took_away_is_mended_with_an_event(subject: Subject) -> None:
    await subject.reconcile()
    subject.told.clear()
    subject.edit(lambda ours: ours.update(clientConfig={}))
    await subject.reconcile()
    assert subject.told == [("WebhookConfigurationMended", False)]


class TestWhatTheManifestsSay:
    """It is told, once, and never written."""

    async def test_a_missing_configuration(self, subject: Subject) -> None:
        del subject.shelf.objects[CONFIGURATION]
        for _ in range(2):
            await subject.reconcile()
        assert subject.shelf.kinds == ["Secret"]
        assert subject.reasons == ["WebhookConfigurationMissing"]
        assert "pply the manifests again" in subject.reconciler.problems[0].message
        assert subject.told.count(("WebhookConfigurationMissing", True)) == 1
        assert subject.changes == 1

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda ours: ours.update(rules=[]), "rules do not name CREATE"),
            (lambda ours: ours.update(rules=[WRITTEN["rules"][0] | {"operations": ["CREATE"]}]), "name UPDATE"),
            (lambda ours: ours.update(rules=[WRITTEN["rules"][0] | {"resources": ["pods"]}]), "name CREATE"),
            (lambda ours: ours.update(namespaceSelector={"matchLabels": {"a": "b"}}), "namespaceSelector"),
            (lambda ours: ours.update(objectSelector={"matchLabels": {"a": "b"}}), "objectSelector"),
            (lambda ours: ours.update(matchConditions=[{"name": "never", "expression": "false"}]), "never"),
            (
                lambda ours: ours.update(
                    matchConditions=[WRITTEN["matchConditions"][0] | {"expression": "request.operation == 'CREATE'"}]
                ),
                "matchConditions",
            ),
            (lambda ours: ours["clientConfig"].update(service={"path": "/elsewhere"}), "/elsewhere"),
            (lambda ours: ours.update(name="theirs.example.org"), "is not in it"),
        ],
    )
    async def test_an_edit_that_lets_networks_pass(
        self, subject: Subject, change: Callable[[dict[str, Any]], object], told: str
    ) -> None:
        await subject.reconcile()
        subject.edit(change)
        await subject.reconcile()
        assert subject.reasons == ["WebhookConfigurationEdited"]
        assert told in subject.reconciler.problems[0].message
        assert ("WebhookConfigurationEdited", True) in subject.told

    async def test_it_is_in_order_again_when_they_are_applied_again(self, subject: Subject) -> None:
        subject.edit(lambda ours: ours.update(rules=[]))
        await subject.reconcile()
        subject.edit(lambda ours: ours.update(rules=WRITTEN["rules"]))
        await subject.reconcile()
        assert subject.reasons == []
        assert subject.changes == 2


class TestCertManager:
    @pytest.fixture
    def managed(self, subject: Subject) -> Subject:
        annotations = {configuration.INJECTED: f"{NAMESPACE}/mooring-webhook"}
        subject.shelf.objects[CONFIGURATION]["metadata"]["annotations"] = annotations
        return subject

    async def test_its_certificate_and_ca_bundle_are_left_alone(self, managed: Subject) -> None:
        managed.shelf.hold(certificates.make(namespace=NAMESPACE, now=NOW - datetime.timedelta(days=364)))
        await managed.reconcile()
        assert managed.shelf.kinds == ["ValidatingWebhookConfiguration"]
        assert managed.shelf.written[0]["webhooks"] == [{"name": configuration.WEBHOOK, "failurePolicy": "Fail"}]
        assert managed.reasons == []

    async def test_a_certificate_that_it_has_not_made_is_told(self, managed: Subject) -> None:
        await managed.reconcile()
        assert "Secret" not in managed.shelf.kinds
        assert managed.reasons == ["NoCertificate"]
