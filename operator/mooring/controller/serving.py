"""Serving admission: owns what the webhook server of this replica shows, and whether it may be asked.

It follows three objects by itself (the certificate's Secret, the webhook configuration, the Installation) and needs
neither the Lease nor anything else of the operator: a replica serves as soon as the certificate is there, whoever
leads, and what it has goes on to serve while the API server is away. Refuses to show a certificate before the webhook
configuration trusts its CA, as long as the one before is trusted; and to be ready before the severities are read.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import TYPE_CHECKING, Any, Literal

import pydantic

from mooring.admission import certificates, configuration, selftest
from mooring.controller import keys
from mooring.installing.installations import Admission
from mooring.kube import errors, resources
from mooring.kube.informers import Informer
from mooring.kube.pauses import Pause
from mooring.rules.findings import Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mooring.admission.server import Server
    from mooring.kube.client import Client

_LOG = logging.getLogger(__name__)

#: An API server that was away is asked again at least this often, in seconds.
_PAUSE = Pause(first=0.5, longest=5.0)

#: Until every API server has seen a webhook configuration that one of them showed us, in seconds.
SETTLE_SECONDS = 10.0

_SOON = 1.0
_EVERY = 600.0
_LISTENING_SECONDS = 30.0

FailurePolicy = Literal["Fail", "Ignore"]


class Serving:
    """One replica's part of admission.

    `changed()` is called when one of the objects that it follows changes, `installed()` when an Installation came or
    went: kopf, which tells of that, may be kept from it.
    """

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        changed: Callable[[], None],
        installed: Callable[[], None] = lambda: None,
        settle: float = SETTLE_SECONDS,
    ) -> None:
        """`settle` is how long a new CA is in the webhook configuration before its certificate is shown, in seconds."""
        self._namespace = namespace
        self._installed = installed
        self._changed = changed
        self._settle = settle
        self._wake = asyncio.Event()
        self._trusted_since: float | None = None
        self._admission = Admission()
        self.problem = "the webhook was not looked at yet"
        """Why this replica does not answer as it should; "" where it does."""
        self.secrets = Informer(
            client,
            resources.SECRETS,
            namespace=namespace,
            field_selector=f"metadata.name={certificates.SECRET}",
            pause=_PAUSE,
            on_change=self._noticed,
        )
        self.configurations = Informer(
            client,
            resources.VALIDATING_WEBHOOKS,
            field_selector=f"metadata.name={configuration.NAME}",
            pause=_PAUSE,
            on_change=self._noticed,
        )
        self.installations = Informer(
            client,
            resources.INSTALLATIONS,
            field_selector=f"metadata.name={keys.INSTALLATION_NAME}",
            transform=_of_admission,
            pause=_PAUSE,
            on_change=self._installation_changed,
        )

    @property
    def informers(self) -> tuple[Informer, ...]:
        """What it follows."""
        return (self.secrets, self.configurations, self.installations)

    @property
    def configuration(self) -> dict[str, Any] | None:
        """The webhook configuration, where there is one."""
        return self.configurations.store.get(configuration.NAME)

    @property
    def failure_policy(self) -> FailurePolicy:
        """What the Installation says of the time in which nobody answers."""
        return self._admission.failure_policy

    def severities(self) -> Mapping[str, Severity]:
        """Return the severities that the Installation sets, by code."""
        return {code: Severity(value) for code, value in self._admission.severities.items()}

    def missing(self) -> list[str]:
        """Return what keeps this replica from being asked."""
        lacking = []
        if not self._severities_read():
            lacking.append(f"the severities of the Installation{_why(self.installations)}")
        if not (self.secrets.synced.is_set() and self.configurations.synced.is_set()):
            lacking += [
                f"the first list of {informer.plural}{_why(informer)}"
                for informer in (self.secrets, self.configurations)
                if not informer.synced.is_set()
            ]
        elif self.problem:
            lacking.append(f"the webhook: {self.problem}")
        return lacking

    async def run(self, server: Server) -> None:
        """Follow, show and prove, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for informer in self.informers:
                group.create_task(informer.run(), name=f"admission: {informer.plural}")
            await self.secrets.synced.wait()
            await self.configurations.synced.wait()
            while True:
                self._wake.clear()
                pause = await self._look(server)
                try:
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
                except TimeoutError:
                    pass  # time for another look

    async def _look(self, server: Server) -> float:
        """Show what may be shown, and prove it; return the seconds until the next look."""
        secret = self.secrets.store.get(f"{self._namespace}/{certificates.SECRET}")
        if secret is None:
            # What is shown stays trusted until the leader has made another one and the API server trusts that.
            if server.bundle is None:
                self._tell(f"there is no Secret {certificates.SECRET} yet; the replica that leads makes it")
            return _EVERY
        try:
            wanted = certificates.from_secret(secret)
        except certificates.UnusableSecretError as error:
            if server.bundle is None:
                self._tell(str(error))
            return _EVERY
        trusted = self._trusted()
        match certificates.choice(wanted, shown=server.bundle, trusted=trusted):
            case certificates.Choice.WAIT:
                self._trusted_since = None
                return _EVERY
            case certificates.Choice.SOON:
                now = asyncio.get_running_loop().time()
                if self._trusted_since is None:
                    self._trusted_since = now
                left = self._trusted_since + self._settle - now
                if left > 0:
                    return left
        self._trusted_since = None
        return await self._show(server, wanted, trusted)

    async def _show(self, server: Server, wanted: certificates.Bundle, trusted: bytes | None) -> float:
        try:
            if wanted != server.bundle:
                server.use(wanted)
                _LOG.info("The webhook serves with another certificate from now on")
            name = certificates.server_name(self._namespace)
            await asyncio.wait_for(server.prove(server_name=name), _LISTENING_SECONDS)
        except (selftest.SelfTestError, ssl.SSLError, TimeoutError) as error:
            self._tell(f"it does not answer as it must: {str(error) or 'it does not listen yet'}")
            return _SOON
        if trusted is not None and not certificates.trusts(trusted, wanted):
            self._tell("the webhook configuration does not trust its certificate yet")
            return _EVERY
        if self.problem:
            _LOG.info("The webhook answers as it must")
        self.problem = ""
        return _EVERY

    def _trusted(self) -> bytes | None:
        ours = configuration.entry(self.configuration or {})
        return certificates.from_ca_bundle(ours.get("clientConfig", {}).get("caBundle")) if ours is not None else None

    def _severities_read(self) -> bool:
        # Where the kind is not known there is no Installation either.
        return self.installations.synced.is_set() or isinstance(self.installations.last_error, errors.NotFound)

    def _installation_changed(self, key: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        self._noticed(key, old, new)
        if old is None or new is None:
            self._installed()

    def _noticed(self, _: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        if old == new:
            return
        installation = self.installations.store.get(keys.INSTALLATION_NAME)
        try:
            self._admission = Admission.model_validate((installation or {}).get("admission") or {})
        except pydantic.ValidationError as error:
            # The Installation's own conditions say so; what was valid before goes on.
            _LOG.warning("spec.admission of the Installation cannot be used: %s", error)
        self._wake.set()
        self._changed()

    def _tell(self, problem: str) -> None:
        if problem != self.problem:
            _LOG.warning("The webhook: %s", problem)
        self.problem = problem


def _of_admission(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "metadata": {"name": item["metadata"]["name"], "uid": item["metadata"]["uid"]},
        "admission": (item.get("spec") or {}).get("admission") or {},
    }


def _why(informer: Informer) -> str:
    return f": {informer.last_error}" if informer.last_error else ""
