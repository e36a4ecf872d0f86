"""The self-test of the webhooks: owns proving, through the real listener, that bad objects are denied.

A webhook that allows everything looks exactly like one that works. So each path is asked to judge an object that
must be denied and one that must be allowed, over TLS and with the name that the API server uses, and a path that
nobody declared must not exist.
"""

from __future__ import annotations

import dataclasses
import ssl
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TIMEOUT = 5.0
_UNDECLARED = "/validate/mooring-selftest-undeclared"


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """A path with the review that it must deny and the one that it must allow."""

    path: str
    denied: Mapping[str, object]
    allowed: Mapping[str, object]


class SelfTestError(Exception):
    """The webhook server does not do what it is for; the text says which path, and what it answered."""


async def run(*, port: int, trusted: bytes, server_name: str, cases: Sequence[Case]) -> None:
    """Ask the server on loopback; `trusted` holds the CAs as PEM. Raises SelfTestError."""
    context = ssl.create_default_context(cadata=trusted.decode("ascii"))
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
    base = f"https://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession(
            timeout=timeout, connector=aiohttp.TCPConnector(ssl=context, force_close=True)
        ) as session:
            for case in cases:
                for review, expected in ((case.denied, False), (case.allowed, True)):
                    allowed = await _ask(session, base + case.path, review, server_name=server_name)
                    if allowed is not expected:
                        verdict = "allowed" if allowed else "denied"
                        raise SelfTestError(f"{case.path} {verdict} what it must not have")
            async with session.post(base + _UNDECLARED, json={}, server_hostname=server_name) as response:
                if response.status != 404:
                    raise SelfTestError(f"an undeclared path answers {response.status} instead of 404")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise SelfTestError(f"the webhook server cannot be asked on port {port}: {error!r}") from error


async def _ask(session: aiohttp.ClientSession, url: str, review: Mapping[str, object], *, server_name: str) -> bool:
    async with session.post(url, json=review, server_hostname=server_name) as response:
        if response.status != 200:
            raise SelfTestError(f"{url} answers {response.status}")
        answer = await response.json()
    verdict = answer.get("response", {}).get("allowed") if isinstance(answer, dict) else None
    if not isinstance(verdict, bool):
        raise SelfTestError(f"{url} answers without a verdict")
    return verdict
