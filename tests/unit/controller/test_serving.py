"""One replica's part of admission, in virtual time, over an API server in memory."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from typing import TYPE_CHECKING, Any

import pytest

from mooring.admission import certificates, configuration, selftest
from mooring.controller import serving
from mooring.kube import errors, resources
from mooring.rules.findings import Severity

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAMESPACE = "mooring-system"
NOW = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
OLD = certificates.make(namespace=NAMESPACE, now=NOW)
NEW = certificates.make(namespace=NAMESPACE, now=NOW, previous=OLD)
OTHER = certificates.make(namespace=NAMESPACE, now=NOW)

pytestmark = pytest.mark.looptime


class Cluster:
    """Lists and watches of three kinds; `away` names those that cannot be asked."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.away: dict[str, errors.ApiError] = {}
        self._watchers: dict[str, asyncio.Queue[dict[str, Any]]] = {}
        self._version = 1

    async def pages(self, resource: resources.Resource, **_: Any) -> AsyncIterator[dict[str, Any]]:
        if resource.plural in self.away:
            raise self.away[resource.plural]
        items = [self.objects[resource.plural]] if resource.plural in self.objects else []
        yield {"metadata": {"resourceVersion": str(self._version)}, "items": items}

    async def watch(self, resource: resources.Resource, *, on_open: Any, **_: Any) -> AsyncIterator[dict[str, Any]]:
        queue = self._watchers[resource.plural] = asyncio.Queue()
        on_open()
        while True:
            yield await queue.get()

    def put(self, plural: str, item: dict[str, Any] | None) -> None:
        gone = self.objects.pop(plural, None)
        self._version += 1
        if item is not None:
            item["metadata"]["resourceVersion"] = str(self._version)
            self.objects[plural] = item
        if plural in self._watchers:
            event = {"type": "DELETED", "object": gone} if item is None else {"type": "MODIFIED", "object": item}
            self._watchers[plural].put_nowait(event)

    def hold(self, bundle: certificates.Bundle | None) -> None:
        secret: dict[str, Any] | None = None
        if bundle is not None:
            secret = dict(certificates.to_secret(bundle, namespace=NAMESPACE))
        self.put(resources.SECRETS.plural, secret)

    def trust(self, bundle: certificates.Bundle | None) -> None:
        ours = {"name": configuration.WEBHOOK, "clientConfig": {}}
        if bundle is not None:
            ours["clientConfig"] = {"caBundle": certificates.ca_bundle(bundle)}
        body = {"metadata": {"name": configuration.NAME, "uid": "7"}, "webhooks": [ours]}
        self.put(resources.VALIDATING_WEBHOOKS.plural, body)

    def install(self, **admission: Any) -> None:
        body = {"metadata": {"name": "default", "uid": "8"}, "spec": {"admission": admission}}
        self.put(resources.INSTALLATIONS.plural, body)


class Shown:
    """In place of the webhook server: what it serves with, when."""

    def __init__(self) -> None:
        self.bundle: certificates.Bundle | None = None
        self.at: list[float] = []
        self.broken = ""

    def use(self, bundle: certificates.Bundle) -> None:
        self.bundle = bundle
        self.at.append(asyncio.get_running_loop().time())

    async def prove(self, *, server_name: str) -> None:
        assert server_name == certificates.server_name(NAMESPACE)
        if self.broken:
            raise selftest.SelfTestError(self.broken)


@contextlib.asynccontextmanager
async def replica(cluster: Cluster, shown: Shown) -> AsyncIterator[serving.Serving]:
    subject = serving.Serving(cluster, namespace=NAMESPACE, changed=lambda: None)  # type: ignore[arg-type]
    task = asyncio.create_task(subject.run(shown))  # type: ignore[arg-type]
    try:
        await asyncio.sleep(2)
        yield subject
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
def cluster() -> Cluster:
    made = Cluster()
    made.hold(OLD)
    made.trust(OLD)
    return made


@pytest.fixture
def shown() -> Shown:
    return Shown()


async def test_a_certificate_that_is_there_and_trusted_is_all_that_it_takes(cluster: Cluster, shown: Shown) -> None:
    async with replica(cluster, shown) as subject:
        assert shown.bundle == OLD
        assert subject.missing() == []


async def test_without_a_certificate_it_is_not_ready_and_with_the_first_one_at_once(
    cluster: Cluster, shown: Shown
) -> None:
    cluster.hold(None)
    async with replica(cluster, shown) as subject:
        assert "there is no Secret" in subject.missing()[0]
        cluster.hold(OLD)
        await asyncio.sleep(0.1)
        assert subject.missing() == []


async def test_it_is_not_ready_while_the_configuration_does_not_trust_its_certificate(
    cluster: Cluster, shown: Shown
) -> None:
    cluster.trust(None)
    async with replica(cluster, shown) as subject:
        assert subject.missing() == ["the webhook: the webhook configuration does not trust its certificate yet"]
        cluster.trust(OLD)
        await asyncio.sleep(0.1)
        assert subject.missing() == []


class TestRenewal:
    async def test_the_new_certificate_is_shown_after_its_ca_is_trusted_and_every_api_server_can_know(
        self, cluster: Cluster, shown: Shown
    ) -> None:
        async with replica(cluster, shown) as subject:
            cluster.hold(NEW)
            await asyncio.sleep(3600)
            assert shown.bundle == OLD, "before it is trusted"
            cluster.trust(NEW)
            trusted = asyncio.get_running_loop().time()
            await asyncio.sleep(serving.SETTLE_SECONDS - 0.1)
            assert shown.bundle == OLD, "before all know"
            await asyncio.sleep(0.2)
            assert shown.bundle == NEW
            assert shown.at[-1] >= trusted + serving.SETTLE_SECONDS
            assert subject.missing() == []

    async def test_a_ca_that_is_taken_back_meanwhile_begins_the_wait_anew(self, cluster: Cluster, shown: Shown) -> None:
        async with replica(cluster, shown):
            cluster.hold(NEW)
            cluster.trust(NEW)
            await asyncio.sleep(serving.SETTLE_SECONDS / 2)
            cluster.trust(OLD)
            await asyncio.sleep(1)
            cluster.trust(NEW)
            await asyncio.sleep(serving.SETTLE_SECONDS / 2 + 1)
            assert shown.bundle == OLD

    async def test_a_deleted_secret_takes_nothing_away_and_its_successor_waits_for_its_turn(
        self, cluster: Cluster, shown: Shown
    ) -> None:
        async with replica(cluster, shown) as subject:
            cluster.hold(None)
            await asyncio.sleep(60)
            assert (shown.bundle, subject.missing()) == (OLD, [])
            cluster.hold(OTHER)
            await asyncio.sleep(60)
            assert (shown.bundle, subject.missing()) == (OLD, [])
            cluster.trust(OTHER)
            await asyncio.sleep(0.1)
            assert shown.bundle == OTHER, "what was shown is trusted no more, so there is nothing to wait for"

    async def test_a_damaged_secret_takes_nothing_away(self, cluster: Cluster, shown: Shown) -> None:
        async with replica(cluster, shown) as subject:
            cluster.put(resources.SECRETS.plural, {"metadata": {"name": certificates.SECRET, "namespace": NAMESPACE}})
            await asyncio.sleep(60)
            assert (shown.bundle, subject.missing()) == (OLD, [])


class TestSeverities:
    async def test_they_are_those_of_the_installation_when_it_says_ready(self, cluster: Cluster, shown: Shown) -> None:
        cluster.install(severities={"MR110": "Enforce"}, failurePolicy="Ignore")
        async with replica(cluster, shown) as subject:
            assert subject.missing() == []
            assert subject.severities() == {"MR110": Severity.ENFORCE}
            assert subject.failure_policy == "Ignore"
            cluster.install()
            await asyncio.sleep(0.1)
            assert subject.severities() == {}

    async def test_it_is_not_ready_before_they_are_read_and_is_soon_after(self, cluster: Cluster, shown: Shown) -> None:
        plural = resources.INSTALLATIONS.plural
        cluster.away[plural] = errors.Unreachable(message="away", request="GET")
        cluster.install(severities={"MR110": "Enforce"})
        async with replica(cluster, shown) as subject:
            await asyncio.sleep(60)
            assert [each.partition(":")[0] for each in subject.missing()] == ["the severities of the Installation"]
            del cluster.away[plural]
            await asyncio.sleep(5)
            assert subject.missing() == []
            assert subject.severities() == {"MR110": Severity.ENFORCE}

    async def test_a_cluster_without_the_kind_has_none(self, cluster: Cluster, shown: Shown) -> None:
        cluster.away[resources.INSTALLATIONS.plural] = errors.NotFound(status=404)
        async with replica(cluster, shown) as subject:
            assert subject.missing() == []
            assert subject.severities() == {}

    async def test_what_cannot_be_used_leaves_those_before(self, cluster: Cluster, shown: Shown) -> None:
        cluster.install(severities={"MR110": "Enforce"})
        async with replica(cluster, shown) as subject:
            cluster.install(severities={"MR110": "Maybe"})
            await asyncio.sleep(0.1)
            assert subject.severities() == {"MR110": Severity.ENFORCE}


async def test_a_server_that_fails_its_self_test_is_not_ready_and_is_tried_again(
    cluster: Cluster, shown: Shown
) -> None:
    shown.broken = "/validate/x allowed what it must not have"
    async with replica(cluster, shown) as subject:
        assert "allowed what it must not have" in subject.missing()[0]
        shown.broken = ""
        await asyncio.sleep(2)
        assert subject.missing() == []


async def test_an_api_server_that_goes_away_takes_nothing_away_and_is_heard_of_soon_when_it_is_back(
    cluster: Cluster, shown: Shown
) -> None:
    kinds = (resources.SECRETS, resources.VALIDATING_WEBHOOKS, resources.INSTALLATIONS)
    for kind in kinds:
        cluster.away[kind.plural] = errors.Unreachable(message="away", request="GET")
    async with replica(cluster, shown) as subject:
        await asyncio.sleep(60)
        assert subject.missing()
        cluster.away.clear()
        await asyncio.sleep(5)
        assert subject.missing() == []
