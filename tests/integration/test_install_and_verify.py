"""`mooring install` and `mooring verify`, which the chart's hooks run, against a real API server."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mooring.kube import resources
from tests.integration.installing import Watching, report, settle

if TYPE_CHECKING:
    from mooring.kube.client import Client
    from testbed.controlplane import ControlPlane


async def mooring(kubeconfig: Path, *arguments: str) -> tuple[int, str, str]:
    """Run a command and return its status and what it printed."""
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("mooring"),
        *arguments,
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, problem = await process.communicate()
    return process.returncode or 0, said.decode(), problem.decode()


async def spec(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(resources.INSTALLATIONS, "default"))["spec"]
    return found


@pytest.mark.usefixtures("operator", "installation")
async def test_what_a_later_spec_leaves_out_goes_and_what_others_set_stays(client: Client, plane: ControlPlane) -> None:
    selector = (await spec(client))["nodeSelector"]
    for given, level in (('{"plugin": {"logLevel": "debug"}}', "debug"), ("{}", None)):
        status, said, _ = await mooring(plane.kubeconfig, "install", f"--spec={given}")
        assert (status, said.splitlines()[0][:33]) == (0, "Installation default is applied. ")
        assert (await spec(client)).get("plugin", {}).get("logLevel") == level
        assert (await spec(client))["nodeSelector"] == selector


@pytest.mark.usefixtures("operator", "installation")
async def test_a_spec_that_is_refused_is_told_with_its_place(client: Client, plane: ControlPlane) -> None:
    status, _, problem = await mooring(plane.kubeconfig, "install", '--spec={"plugin": {"logLevel": "loud"}}')
    assert status == 1
    assert 'spec.plugin.logLevel: Unsupported value: "loud"' in problem
    for given in ("{", "[]"):
        status, _, problem = await mooring(plane.kubeconfig, "install", f"--spec={given}")
        assert (status, problem.startswith("mooring install: --spec is no ")) == (2, True)


@pytest.mark.usefixtures("operator")
async def test_an_installation_that_is_going_is_told(
    client: Client, plane: ControlPlane, watching: Watching, installation: dict[str, Any]
) -> None:
    await settle(client, watching)
    await client.delete(resources.INSTALLATIONS, "default")
    status, _, problem = await mooring(plane.kubeconfig, "install")
    assert status == 1
    assert "is being deleted, and the nodes are being cleaned" in problem


@pytest.mark.usefixtures("operator", "installation")
async def test_verify_waits_for_the_nodes_asks_admission_both_ways_and_keeps_nothing(
    client: Client, plane: ControlPlane, watching: Watching, namespace: str
) -> None:
    verify = ("verify", f"--namespace={namespace}")
    status, said, problem = await mooring(plane.kubeconfig, *verify, "--timeout=1")
    assert status == 1
    assert said.startswith("Waiting: ")
    assert problem.startswith("mooring verify: not within 1 s: ")

    await settle(client, watching)
    status, said, problem = await mooring(plane.kubeconfig, *verify, "--timeout=30")
    assert (status, problem) == (0, "")
    assert said.splitlines()[-3:] == [
        "2 of 2 nodes are Ready.",
        "Admission refuses a network that is not JSON.",
        "Admission takes a network without mistakes.",
    ]
    assert (await client.list(resources.NADS, namespace=namespace))["items"] == []

    await report(client, "operator-n1", ready=False, message="no conf is there")
    status, said, problem = await mooring(plane.kubeconfig, *verify, "--timeout=1")
    assert status == 1
    assert "operator-n1: no conf is there" in problem


@pytest.mark.usefixtures("operator", "installation")
async def test_verify_tells_where_admission_is_not_asked(
    client: Client, plane: ControlPlane, watching: Watching, namespace: str
) -> None:
    await settle(client, watching)
    found = plane.kubectl("get", "validatingwebhookconfiguration", "mooring", "-o", "json")
    plane.kubectl("delete", "validatingwebhookconfiguration", "mooring")
    try:
        status, _, problem = await mooring(plane.kubeconfig, "verify", f"--namespace={namespace}")
    finally:
        plane.kubectl("create", "-f", "-", stdin=_without_version(found))
    assert status == 1
    assert "a network that is not JSON was taken, so admission was not asked" in problem


def _without_version(text: str) -> str:
    found = json.loads(text)
    for key in ("resourceVersion", "uid", "managedFields", "creationTimestamp"):
        found["metadata"].pop(key, None)
    return json.dumps(found)


async def test_verify_without_an_installation_says_so(plane: ControlPlane, kinds: None) -> None:
    status, _, problem = await mooring(plane.kubeconfig, "verify")
    assert (status, problem) == (
        1,
        "mooring verify: there is no Installation, so nothing is on the nodes: apply one first\n",
    )
