"""The webhook's certificate, over an API server in memory and a real listener."""

from __future__ import annotations

import contextlib
import copy
import datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from mooring.admission import certificates, handlers
from mooring.admission.server import Server
from mooring.controller import keys, webhook
from mooring.kube import errors, resources

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAMESPACE = "mooring-system"
NOW = datetime.datetime.now(datetime.UTC)
SECRET = (resources.SECRETS.plural, certificates.SECRET)
CONFIGURATION = (resources.VALIDATING_WEBHOOKS.plural, keys.WEBHOOK_CONFIGURATION)
ROLE = (resources.CLUSTER_ROLES.plural, keys.CLUSTER_ROLE)


class Shelf:
    """Objects by kind and name; notes what was written."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {
            ROLE: {"metadata": {"name": keys.CLUSTER_ROLE, "uid": "role-uid"}},
            CONFIGURATION: {
                "metadata": {"name": keys.WEBHOOK_CONFIGURATION, "uid": "7"},
                "webhooks": [{"name": keys.WEBHOOK_NAME, "clientConfig": {}, "failurePolicy": "Fail"}],
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

    def __init__(self, shelf: Shelf, server: Server) -> None:
        self.shelf = shelf
        self.server = server
        self.leading = True
        self.policy: webhook.FailurePolicy = "Fail"
        self.now = NOW
        view = SimpleNamespace(webhooks=SimpleNamespace(store={}))
        self._view = view
        self.reconciler = webhook.Reconciler(
            shelf,  # type: ignore[arg-type]  # it answers alike
            view,  # type: ignore[arg-type]
            server,
            namespace=NAMESPACE,
            failure_policy=lambda: self.policy,
            leading=lambda: self.leading,
            now=lambda: self.now,
        )

    async def reconcile(self) -> float | None:
        store = self._view.webhooks.store
        store.clear()
        if CONFIGURATION in self.shelf.objects:
            store[keys.WEBHOOK_CONFIGURATION] = self.shelf.objects[CONFIGURATION]
            store[keys.WEBHOOK_CONFIGURATION]["metadata"].setdefault("uid", "7")
        return await self.reconciler.reconcile()


@pytest.fixture
async def subject() -> AsyncIterator[Subject]:
    server = Server(routes=handlers.routes(), host="127.0.0.1", port=0)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(server.running())
        yield Subject(Shelf(), server)


async def test_the_leader_makes_a_certificate_serves_with_it_and_tells_the_api_server(subject: Subject) -> None:
    await subject.reconcile()
    assert subject.server.ready
    assert subject.shelf.kinds == ["Secret", "ValidatingWebhookConfiguration"]
    written = subject.shelf.written[1]
    assert written["webhooks"] == [
        {
            "name": keys.WEBHOOK_NAME,
            "clientConfig": {"caBundle": certificates.ca_bundle(subject.shelf.bundle)},
            "failurePolicy": "Fail",
        }
    ]
    assert written["metadata"]["ownerReferences"][0]["uid"] == "role-uid"
    assert subject.reconciler.problem == ""


async def test_what_is_in_order_is_not_written_again(subject: Subject) -> None:
    await subject.reconcile()
    before = len(subject.shelf.written)
    assert await subject.reconcile() == 3600
    assert len(subject.shelf.written) == before


async def test_a_certificate_that_is_there_is_served_by_every_replica_and_written_by_none(subject: Subject) -> None:
    subject.shelf.hold(certificates.make(namespace=NAMESPACE, now=NOW))
    subject.leading = False
    await subject.reconcile()
    assert subject.server.ready
    assert subject.shelf.written == []


async def test_a_replica_that_does_not_lead_waits_for_the_first_certificate(subject: Subject) -> None:
    subject.leading = False
    pause = await subject.reconcile()
    assert pause is not None
    assert pause <= 5
    assert not subject.server.ready
    assert "there is no certificate yet" in subject.reconciler.problem


async def test_an_old_certificate_is_renewed_and_its_authority_stays_trusted(subject: Subject) -> None:
    old = certificates.make(namespace=NAMESPACE, now=NOW - datetime.timedelta(days=300))
    subject.shelf.hold(old)
    await subject.reconcile()
    assert subject.shelf.bundle != old
    assert subject.shelf.bundle.ca_certificates.endswith(old.ca_certificates)


async def test_a_secret_that_holds_no_certificate_is_replaced(subject: Subject) -> None:
    subject.shelf.objects[SECRET] = {"metadata": {"name": certificates.SECRET, "resourceVersion": "41"}, "data": {}}
    await subject.reconcile()
    assert subject.server.ready
    assert subject.shelf.kinds[0] == "Secret"


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
    subject.policy = "Ignore"
    await subject.reconcile()
    assert subject.shelf.written[-1]["webhooks"][0]["failurePolicy"] == "Ignore"


async def test_a_missing_configuration_is_told_and_not_made(subject: Subject) -> None:
    del subject.shelf.objects[CONFIGURATION]
    await subject.reconcile()
    assert subject.shelf.kinds == ["Secret"]
    assert "apply the manifests again" in subject.reconciler.problem


async def test_a_key_that_does_not_fit_its_certificate_is_not_served(subject: Subject) -> None:
    one, other = (certificates.make(namespace=NAMESPACE, now=NOW) for _ in range(2))
    mixed = certificates.Bundle(one.ca_certificates, one.certificate, other.private_key)
    subject.shelf.hold(mixed)
    subject.leading = False
    assert await subject.reconcile() == 5
    assert not subject.server.ready
    assert "does not answer as it must" in subject.reconciler.problem
