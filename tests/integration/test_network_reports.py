"""NetworkReports against a real API server: they follow definitions, attachments and nodes, and rest when these do."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
from typing import TYPE_CHECKING, Any

import pytest

from mooring.controller import reports
from mooring.insight.networkreports import Node
from mooring.installing import attachmentslices
from mooring.kube import errors, resources
from mooring.rules.findings import Severity

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mooring.kube.client import Client
    from testbed.controlplane import ControlPlane

NOW = datetime.datetime(2026, 5, 4, 3, 2, 1, tzinfo=datetime.UTC)
PROGRAMS = frozenset({"bridge", "host-local"})

pytestmark = pytest.mark.usefixtures("definitions")


class Reporting:
    """The reconciler with its informers running; a pass is asked for by the test."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.nodes = [Node("a", ready=True, programs=PROGRAMS)]
        self.severities: dict[str, Severity] = {}
        self.wakes = 0
        self.reconciler = reports.Reconciler(
            client,
            leads=lambda: True,
            nodes=lambda: self.nodes,
            severities=lambda: self.severities,
            now=lambda: NOW,
            wake=lambda _: self._woken(),
        )

    def _woken(self) -> None:
        self.wakes += 1

    async def until(self, name: str, namespace: str, **expected: Any) -> dict[str, Any]:
        """Reconcile until the overview of a report says this; fail where it never does."""
        found: dict[str, Any] = {}
        for _ in range(900):
            await self.reconciler.reconcile()
            with contextlib.suppress(errors.NotFound):
                found = await self.client.get(resources.NETWORK_REPORTS, name, namespace=namespace)
                if expected.items() <= found["overview"].items():
                    return found
            await asyncio.sleep(0.05)
        raise AssertionError(f"the report never said {expected}: {found.get('overview')}")

    async def until_gone(self, name: str, namespace: str) -> None:
        """Reconcile until there is no report of that name."""
        for _ in range(900):
            await self.reconciler.reconcile()
            try:
                await self.client.get(resources.NETWORK_REPORTS, name, namespace=namespace)
            except errors.NotFound:
                return
            await asyncio.sleep(0.05)
        raise AssertionError("the report stays")


@pytest.fixture(scope="module")
def definitions(plane: ControlPlane, kinds: None) -> None:
    """The API server knows NetworkAttachmentDefinitions too: in a cluster the operator sees to that."""
    plane.kubectl("apply", "-f", "crds/network-attachment-definitions.yaml")
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")


@pytest.fixture
async def reporting(client: Client) -> AsyncIterator[Reporting]:
    made = Reporting(client)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(informer.run()) for informer in made.reconciler.informers]
        yield made
        for task in tasks:
            task.cancel()


@pytest.fixture
async def slice_of_a(client: Client) -> AsyncIterator[str]:
    """A node with an empty slice; both gone at the end."""
    node = await client.create(
        resources.NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "reported-a"}}
    )
    body = attachmentslices.desired(node, number=1, attachments=[])
    await client.create(resources.ATTACHMENT_SLICES, body)
    yield body["metadata"]["name"]
    await client.delete(resources.ATTACHMENT_SLICES, body["metadata"]["name"])
    await client.delete(resources.NODES, "reported-a")


def definition(namespace: str, subnet: str = "10.1.2.0/29", **more: Any) -> dict[str, Any]:
    conf = {
        "cniVersion": "1.0.0",
        "name": "lab",
        "type": "bridge",
        "ipam": {"type": "host-local", "subnet": subnet},
        **more,
    }
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": "lab", "namespace": namespace},
        "spec": {"config": json.dumps(conf)},
    }


def held(namespace: str, pod: str, address: str) -> dict[str, Any]:
    return {
        "pod": {"namespace": namespace, "name": pod},
        "network": f"{namespace}/lab",
        "interface": "net1",
        "addresses": [address],
    }


async def test_a_report_follows_who_is_attached_and_goes_when_nobody_is(
    reporting: Reporting, client: Client, namespace: str, slice_of_a: str
) -> None:
    made = await client.create(resources.NADS, definition(namespace), namespace=namespace)
    entries = [held(namespace, "web", "10.1.2.2/29"), held(namespace, "db", "10.1.2.3/29")]
    await client.patch(resources.ATTACHMENT_SLICES, slice_of_a, {"attachments": entries})
    report = await reporting.until("lab", namespace, addresses="2/5 per node", nodes="1/1", findings="")
    assert report["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
    assert report["attachments"] == {"interfaces": 2, "pods": 2, "nodes": 1, "stale": 0}
    await client.patch(resources.ATTACHMENT_SLICES, slice_of_a, {"attachments": entries[:1]})
    await reporting.until("lab", namespace, addresses="1/5 per node")
    await client.patch(resources.ATTACHMENT_SLICES, slice_of_a, {"attachments": []})
    await reporting.until_gone("lab", namespace)


async def test_a_report_follows_definition_nodes_and_severities(
    reporting: Reporting, client: Client, namespace: str
) -> None:
    await client.create(resources.NADS, definition(namespace, "10.1.2.0/31"), namespace=namespace)
    report = await reporting.until("lab", namespace, findings="1 Enforce", nodes="1/1")
    assert report["findings"][0]["code"] == "MR305"
    reporting.nodes.append(Node("b", ready=True, programs=frozenset({"bridge"})))
    report = await reporting.until("lab", namespace, nodes="1/2")
    assert report["nodes"]["unable"][0]["name"] == "b"
    reporting.severities["MR305"] = Severity.AUDIT
    await reporting.until("lab", namespace, findings="1 Audit")
    fixed = {"spec": definition(namespace)["spec"]}
    await client.patch(resources.NADS, "lab", fixed, namespace=namespace)
    await reporting.until_gone("lab", namespace)


async def test_what_somebody_else_writes_into_a_report_or_deletes_is_put_right(
    reporting: Reporting, client: Client, namespace: str
) -> None:
    await client.create(resources.NADS, definition(namespace, "10.1.2.0/31"), namespace=namespace)
    await reporting.until("lab", namespace, findings="1 Enforce")
    lie = {"overview": {"findings": "none"}, "findings": []}
    await client.patch(resources.NETWORK_REPORTS, "lab", lie, namespace=namespace)
    await reporting.until("lab", namespace, findings="1 Enforce")
    await client.delete(resources.NETWORK_REPORTS, "lab", namespace=namespace)
    await reporting.until("lab", namespace, findings="1 Enforce")


async def test_nothing_is_written_while_nothing_changes(
    reporting: Reporting, client: Client, namespace: str, plane: ControlPlane
) -> None:
    await client.create(resources.NADS, definition(namespace, "10.1.2.0/31"), namespace=namespace)
    report = await reporting.until("lab", namespace, findings="1 Enforce")
    for _ in range(3):
        reporting.reconciler._due.add(f"{namespace}/lab")
        await reporting.reconciler.reconcile()
    again = await client.get(resources.NETWORK_REPORTS, "lab", namespace=namespace)
    assert again["metadata"]["resourceVersion"] == report["metadata"]["resourceVersion"]


async def test_a_report_of_a_definition_that_went_goes(reporting: Reporting, client: Client, namespace: str) -> None:
    await client.create(resources.NADS, definition(namespace, "10.1.2.0/31"), namespace=namespace)
    await reporting.until("lab", namespace, findings="1 Enforce")
    # Nothing of the report's owner is left to the garbage collector's patience.
    await client.delete(resources.NADS, "lab", namespace=namespace)
    await reporting.until_gone("lab", namespace)
