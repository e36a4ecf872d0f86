"""What surrounds the operator: kopf's settings, health, and the first words to a person."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import aiohttp

from mooring.controller import framework, health, holding, process

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_without_credentials_it_says_what_to_do_and_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    with holding.listen(0, host="127.0.0.1") as listener:
        assert process.run(namespace="mooring-system", pod_name="", listener=listener, health_port=0) == 1
    said = capsys.readouterr().err
    assert "set KUBECONFIG" in said
    assert "Traceback" not in said


def test_kopf_scans_nothing_posts_nothing_and_waits_for_an_api_server_that_is_away() -> None:
    settings = framework.settings()
    assert settings.scanning.disabled is True
    assert settings.posting.enabled is False
    assert settings.admission.managed is None
    assert settings.peering.standalone is True
    pauses = settings.networking.error_backoffs
    assert not isinstance(pauses, float)
    for _ in range(2):  # each request begins anew
        first = list(itertools.islice(pauses, 1000))
        assert len(first) == 1000
        assert max(first) <= 30


async def test_ready_says_what_is_missing() -> None:
    missing = ["the first complete list of nodes", "the webhook's self-test"]
    async with (
        health.serving(host="127.0.0.1", port=0, missing=lambda: missing, metrics=lambda: b"up 1\n") as port,
        aiohttp.ClientSession() as session,
    ):
        url = f"http://127.0.0.1:{port}"
        async with session.get(f"{url}/readyz") as answer:
            assert answer.status == 503
            assert await answer.text() == (
                "waiting for the first complete list of nodes\nwaiting for the webhook's self-test\n"
            )
        async with session.get(f"{url}/healthz") as answer:
            assert answer.status == 200
        missing.clear()
        async with session.get(f"{url}/readyz") as answer:
            assert (answer.status, await answer.text()) == (200, "ok\n")
        async with session.get(f"{url}/metrics") as answer:
            assert (answer.status, await answer.read()) == (200, b"up 1\n")
            assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
