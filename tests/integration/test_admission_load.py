"""What admission bears, through the real API server. The numbers are printed (`pytest -s`); none is a verdict.

MOORING_LOAD_SECONDS is how long clients apply, MOORING_AWAY_SECONDS how long the API server is away.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from mooring.kube import errors, resources
from mooring.kube.client import Client
from tests import applying

if TYPE_CHECKING:
    from testbed.controlplane import ControlPlane
    from tests.integration.conftest import OperatorProcess

SECONDS = float(os.environ.get("MOORING_LOAD_SECONDS", "10"))
AWAY = float(os.environ.get("MOORING_AWAY_SECONDS", "5"))

pytestmark = [pytest.mark.usefixtures("operator"), pytest.mark.timeout(300)]


def large(number: int) -> dict[str, Any]:
    """Return a configuration of 0.6 MB: as many ranges and routes as are judged, and a long rest that nobody reads."""
    ranges = [[{"subnet": f"10.{number}.{each}.0/24"}] for each in range(250)]
    routes = [{"dst": f"172.{number}.{each}.0/24", "gw": f"10.{number}.0.1"} for each in range(250)]
    remark = [{"remark": f"{each:08d}"} for each in range(22_000)]
    ipam = {"type": "host-local", "ranges": ranges, "routes": routes}
    return {"cniVersion": "1.0.0", "type": "bridge", "bridge": f"big{number}", "ipam": ipam, "remarks": remark}


def hostile(number: int) -> dict[str, Any]:
    """Return a configuration of 0.6 MB that is refused: thousands of ranges that are wrong."""
    ranges = [[{"subnet": f"10.{number}.300.{each}/24"}] for each in range(17_000)]
    return {"cniVersion": "1.0.0", "type": "bridge", "ipam": {"type": "host-local", "ranges": ranges}}


@pytest.mark.parametrize("others", [0, 8])
async def test_sixteen_large_networks_at_once_are_taken(
    client: Client, namespace: str, others: int, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome, beside = applying.Outcome(), applying.Outcome()
    done = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(
            applying.keep_applying(client, namespace, clients=others, outcome=beside, until=done, pause=0.01)
        )
        bodies = [applying.network(namespace, f"large-{number}", large(number)) for number in range(16)]
        await asyncio.gather(*(applying.apply(client, body, outcome) for body in bodies))
        done.set()
    with capsys.disabled():
        print(f"\n16 networks of {len(bodies[0]['spec']['config']) / 1e6:.1f} MB at once: {outcome}")
        if others:
            print(f"{others} clients with small ones beside them: {beside}")
    assert outcome.failures == []
    assert beside.failures == []


async def test_sixteen_large_networks_that_are_wrong_are_refused_by_us_and_not_by_a_deadline(
    client: Client, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = applying.Outcome()
    bodies = [applying.network(namespace, f"hostile-{number}", hostile(number)) for number in range(16)]
    began = asyncio.get_running_loop().time()
    await asyncio.gather(*(applying.apply(client, body, outcome) for body in bodies))
    took = asyncio.get_running_loop().time() - began
    with capsys.disabled():
        print(f"\n16 wrong networks of {len(bodies[0]['spec']['config']) / 1e6:.1f} MB refused within {took:.1f} s")
    assert len(outcome.failures) == 16
    assert all("MR125" in said for said in outcome.failures), outcome.failures


async def test_fifty_clients_apply_all_the_while_without_a_failure(
    client: Client, plane: ControlPlane, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = applying.Outcome()
    done = asyncio.Event()
    before = webhook_seconds(plane)
    asyncio.get_running_loop().call_later(SECONDS, done.set)
    await applying.keep_applying(client, namespace, clients=50, outcome=outcome, until=done)
    after = webhook_seconds(plane)
    with capsys.disabled():
        print(f"\n50 clients for {SECONDS:g} s: {outcome}")
        print(f"the webhook, as the API server sees it: {shares(before, after)}")
    assert outcome.failures == []
    assert outcome.seconds


def test_after_an_api_server_that_was_away_reviews_are_answered_at_once(
    plane: ControlPlane, operator: OperatorProcess, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # In the main thread: what it starts ends with the thread that started it.
    with plane.apiserver_away():
        threading.Event().wait(AWAY)
    took = asyncio.run(until_refused(namespace))
    with capsys.disabled():
        print(f"\nAPI server away for {AWAY:g} s: the first review is answered {took:.2f} s after it is ready")
    # The replica itself never stopped to be ready.
    assert operator.readiness()[0] == 200
    assert "Traceback" not in operator.log.read_text()


async def until_refused(namespace: str) -> float:
    """Apply a wrong network until the webhook refuses it, for 15 s at most; return the seconds that it took."""
    back = asyncio.get_running_loop().time()
    body = applying.network(namespace, "after", {"cniVersion": "1.0.0", "type": "bridge", "mtu": "wrong"})
    async with await Client.load() as client:
        while True:
            try:
                await client.apply(resources.NADS, body, field_manager="applying")
            except errors.Invalid as error:
                assert "MR120" in error.message
                return asyncio.get_running_loop().time() - back
            except errors.ApiError as error:
                assert asyncio.get_running_loop().time() < back + 15, error
                await asyncio.sleep(0.05)
            else:
                pytest.fail("a wrong network was taken")


def webhook_seconds(plane: ControlPlane) -> dict[float, int]:
    """Return how many reviews the API server had answered within so many seconds (cumulative)."""
    found: dict[float, int] = {}
    for line in plane.kubectl("get", "--raw", "/metrics").splitlines():
        name, _, rest = line.partition("{")
        if name == "apiserver_admission_webhook_admission_duration_seconds_bucket" and "networks.mooring.dev" in rest:
            bound = rest.partition('le="')[2].partition('"')[0]
            key = float("inf") if bound == "+Inf" else float(bound)
            found[key] = found.get(key, 0) + int(float(rest.rpartition(" ")[2]))
    return found


def shares(before: dict[float, int], after: dict[float, int]) -> str:
    """Say what part of the reviews in between was answered within which time."""
    counts = {bound: after[bound] - before.get(bound, 0) for bound in sorted(after)}
    whole = max(counts.values())
    told = [f"{100 * count / whole:.1f} % within {bound:g} s" for bound, count in counts.items() if bound < 10]
    return f"{whole} reviews, {', '.join(told)}"
