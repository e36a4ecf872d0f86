"""Leadership among replicas by a Lease: owns taking it, keeping it, losing it and giving it back.

Whether a holder is alive is judged by our own monotonic clock: its Lease did not change for as long as it promised.
Wall clocks are written for people and never compared. Refuses to end the process when the Lease is lost: a replica
that does not lead goes on to observe and to serve.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import random
from typing import TYPE_CHECKING, Any

from mooring.kube import errors, resources

if TYPE_CHECKING:
    from collections.abc import Callable

    from mooring.kube.client import Client

_LOG = logging.getLogger(__name__)

# Too little for another attempt, in seconds.
_NO_TIME = 0.1


class Election:
    """One candidate for one Lease. `changed(leading)` is called when it wins and when it loses."""

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        name: str,
        identity: str,
        changed: Callable[[bool], None],
        duration: float = 15.0,
        renewal: float = 10.0,
        retry: float = 2.0,
    ) -> None:
        """Take the Lease's place and the times in seconds.

        `duration`: without a sign of life for so long, others may take over. `renewal`: without a successful renewal
        for so long, this one stops to lead; the difference is what requests on their way may take.
        """
        self._client = client
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._changed = changed
        self._duration = duration
        self._renewal = renewal
        self._retry = retry
        # The Lease as last seen: its version, and when that version was first seen.
        self._seen: tuple[str, float] = ("", 0.0)
        self._renewed = 0.0
        self._renewing = True
        self.leading = False
        """Whether this replica leads now."""
        self.changes = 0
        """How often it began or ceased to lead."""
        self.tried = asyncio.Event()
        """Set from the first attempt on, whatever came of it."""

    @property
    def holds(self) -> bool:
        """Whether this replica leads at this moment, by the clock: also right after the process was stopped a while."""
        return self.leading and self._left() > 0

    async def run(self) -> None:
        """Try to lead, and to go on leading, until cancelled."""
        while True:
            now = self._now()
            try:
                async with asyncio.timeout(self._renewal if not self.leading else self._left()):
                    holds = await self._attempt(now)
                self._renewing = True
            except (errors.ApiError, TimeoutError) as error:
                # Once when it begins: what repeats is the same sentence, and its end is told by who leads then.
                level = logging.WARNING if self.leading and self._renewing else logging.DEBUG
                said = str(error) or "the API server did not answer in time"
                _LOG.log(level, "Lease %s was not renewed: %s", self._name, said)
                self._renewing = False
                # Until the promise runs out nobody else may lead, so there is no hurry to stop.
                holds = self.leading and self._left() > _NO_TIME
            self._set(holds)
            self.tried.set()
            pause = self._retry * random.uniform(0.8, 1.2)  # noqa: S311  no secret
            await asyncio.sleep(min(pause, self._left()) if self.leading else pause)

    async def release(self) -> None:
        """Give the Lease back, so that another replica need not wait; what goes wrong is not worth a delay."""
        if not self.leading:
            return
        self._set(False)
        with contextlib.suppress(errors.ApiError):
            lease = await self._client.get(resources.LEASES, self._name, namespace=self._namespace)
            if lease["spec"].get("holderIdentity") == self._identity:
                await self._write(lease, {"holderIdentity": "", "leaseDurationSeconds": 1})

    async def _attempt(self, now: float) -> bool:
        try:
            lease = await self._client.get(resources.LEASES, self._name, namespace=self._namespace)
        except errors.NotFound:
            return await self._create(now)
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        version = lease["metadata"]["resourceVersion"]
        if version != self._seen[0]:
            self._seen = (version, now)
        if holder not in ("", self._identity):
            promised = float(spec.get("leaseDurationSeconds") or self._duration)
            if now - self._seen[1] < promised:
                return False
            _LOG.info("%s holds the Lease %s and gives no sign of life; taking over", holder, self._name)
        change = self._term(spec, taken=holder != self._identity)
        try:
            written = await self._write(lease, change)
        except errors.Conflict:
            return False  # another replica was faster
        self._seen = (written["metadata"]["resourceVersion"], now)
        self._renewed = now
        return True

    async def _create(self, now: float) -> bool:
        body = {
            "apiVersion": resources.LEASES.api_version,
            "kind": resources.LEASES.kind,
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": self._term({}, taken=True),
        }
        try:
            await self._client.create(resources.LEASES, body, namespace=self._namespace)
        except errors.Conflict:
            return False
        self._renewed = now
        return True

    async def _write(self, lease: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
        # The version makes the API server refuse it where somebody else wrote in between.
        patch = {"metadata": {"resourceVersion": lease["metadata"]["resourceVersion"]}, "spec": spec}
        return await self._client.patch(resources.LEASES, self._name, patch, namespace=self._namespace)

    def _term(self, spec: dict[str, Any], *, taken: bool) -> dict[str, Any]:
        stamp = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        term: dict[str, Any] = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": round(self._duration),
            "renewTime": stamp,
        }
        if taken:
            term |= {"acquireTime": stamp, "leaseTransitions": int(spec.get("leaseTransitions") or 0) + 1}
        return term

    def _set(self, leading: bool) -> None:
        if leading == self.leading:
            return
        self.leading = leading
        self.changes += 1
        _LOG.info("%s leads" if leading else "%s does not lead any more", self._identity)
        self._changed(leading)

    def _left(self) -> float:
        return max(0.0, self._renewed + self._renewal - self._now())

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
