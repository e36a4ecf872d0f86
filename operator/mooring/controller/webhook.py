"""The webhook's certificate: owns the Secret, what the server serves with, and what the API server trusts.

Made here, renewed when a third of its life is left, put into the ValidatingWebhookConfiguration, and proven by a
known-bad review through the real listener. Refuses to create that configuration: it is a file of the manifests.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import TYPE_CHECKING, Any, Literal, cast

from mooring.admission import certificates, selftest
from mooring.controller import keys
from mooring.kube import errors, resources

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable

    from mooring.admission.server import Server
    from mooring.controller.observing import View
    from mooring.kube.client import Client

_LOG = logging.getLogger(__name__)

_EVERY = 3600.0
_SOON = 5.0
_LISTENING_SECONDS = 30.0

FailurePolicy = Literal["Fail", "Ignore"]


class Reconciler:
    """Keeps certificate, server and webhook configuration together."""

    def __init__(
        self,
        client: Client,
        view: View,
        server: Server,
        *,
        namespace: str,
        failure_policy: Callable[[], FailurePolicy],
        leading: Callable[[], bool],
        now: Callable[[], datetime.datetime],
    ) -> None:
        self._client = client
        self._view = view
        self._server = server
        self._namespace = namespace
        self._failure_policy = failure_policy
        self._leading = leading
        self._now = now
        self.problem = ""
        """Why the webhook is not in order; "" where it is."""

    async def reconcile(self) -> float | None:
        """Compare and repair once; return the seconds until the next look.

        Raises:
            errors.ApiError: the Secret or the configuration could not be read or written.
        """
        bundle = await self._bundle()
        if bundle is None:
            self._complain("there is no certificate yet; the replica that leads makes it")
            return _SOON
        try:
            self._server.use(bundle)
            await asyncio.wait_for(
                self._server.prove(server_name=certificates.server_name(self._namespace)), _LISTENING_SECONDS
            )
        except (selftest.SelfTestError, ssl.SSLError, TimeoutError) as error:
            self._complain(f"the webhook does not answer as it must: {str(error) or 'it does not listen yet'}")
            return _SOON
        if self._leading():
            return await self._configure(bundle)
        self.problem = ""
        return _EVERY

    async def _bundle(self) -> certificates.Bundle | None:
        """Return the certificate of the Secret; the leader makes one where there is none that can be used."""
        try:
            secret = await self._client.get(resources.SECRETS, certificates.SECRET, namespace=self._namespace)
        except errors.NotFound:
            return await self._write(None, version=None) if self._leading() else None
        try:
            bundle = certificates.from_secret(secret)
        except certificates.UnusableSecretError as error:
            if not self._leading():
                return None
            _LOG.warning("%s; making a new one", error)
            return await self._write(None, version=secret["metadata"]["resourceVersion"])
        if self._leading() and certificates.needs_renewal(bundle, namespace=self._namespace, now=self._now()):
            return await self._write(bundle, version=secret["metadata"]["resourceVersion"])
        return bundle

    async def _write(self, previous: certificates.Bundle | None, *, version: str | None) -> certificates.Bundle:
        """Make a certificate and write it; with a replica that was faster, raise `errors.Conflict`."""
        bundle = certificates.make(namespace=self._namespace, now=self._now(), previous=previous)
        secret = cast("dict[str, Any]", certificates.to_secret(bundle, namespace=self._namespace))
        if version is None:
            await self._client.create(
                resources.SECRETS, secret, namespace=self._namespace, field_manager=keys.FIELD_MANAGER
            )
        else:
            secret["metadata"]["resourceVersion"] = version
            await self._client.apply(resources.SECRETS, secret, field_manager=keys.FIELD_MANAGER)
        _LOG.info("Made a certificate for the webhook")
        return bundle

    async def _configure(self, bundle: certificates.Bundle) -> float:
        found = self._view.webhooks.store.get(keys.WEBHOOK_CONFIGURATION)
        if found is None:
            self._complain(
                f"there is no ValidatingWebhookConfiguration {keys.WEBHOOK_CONFIGURATION}, so networks are not "
                "judged when they are applied: apply the manifests again"
            )
            return _EVERY
        role = await self._client.get(resources.CLUSTER_ROLES, keys.CLUSTER_ROLE)
        owner = {
            "apiVersion": resources.CLUSTER_ROLES.api_version,
            "kind": resources.CLUSTER_ROLES.kind,
            "name": keys.CLUSTER_ROLE,
            "uid": role["metadata"]["uid"],
        }
        entry = {
            "name": keys.WEBHOOK_NAME,
            "clientConfig": {"caBundle": certificates.ca_bundle(bundle)},
            "failurePolicy": self._failure_policy(),
        }
        if not _holds(found, owner, entry):
            body = {
                "apiVersion": resources.VALIDATING_WEBHOOKS.api_version,
                "kind": resources.VALIDATING_WEBHOOKS.kind,
                # The uid: of one that was deleted meanwhile, nothing must be made anew.
                "metadata": {
                    "name": keys.WEBHOOK_CONFIGURATION,
                    "uid": found["metadata"]["uid"],
                    "ownerReferences": [owner],
                },
                "webhooks": [entry],
            }
            await self._client.apply(resources.VALIDATING_WEBHOOKS, body, field_manager=keys.FIELD_MANAGER)
            _LOG.info("The API server trusts the webhook's certificate now")
        if self.problem:
            _LOG.info("The webhook is in order")
        self.problem = ""
        return _EVERY

    def _complain(self, problem: str) -> None:
        if problem != self.problem:
            _LOG.warning("%s", problem)
        self.problem = problem


def _holds(found: dict[str, Any], owner: dict[str, Any], entry: dict[str, Any]) -> bool:
    """Whether the configuration says what we want it to; others' words in it do not matter."""
    present: dict[str, Any] = next((each for each in found.get("webhooks") or [] if each["name"] == entry["name"]), {})
    return (
        owner in (found["metadata"].get("ownerReferences") or [])
        and present.get("clientConfig", {}).get("caBundle") == entry["clientConfig"]["caBundle"]
        and present.get("failurePolicy") == entry["failurePolicy"]
    )
