"""The webhook's certificate and configuration: owns what the leader writes of them, and saying what is wrong there.

A certificate is made where there is none, renewed when a third of its life is left, and its CA put into the
ValidatingWebhookConfiguration; replicas show it after that (`serving.py`). Refuses to create that configuration or to
change what of it is a file of the manifests: it tells that networks pass unjudged, in a condition and an event. Where
cert-manager looks after the certificate, neither Secret nor caBundle is touched.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

from mooring.admission import certificates, configuration
from mooring.controller import keys
from mooring.installing.summaries import Problem
from mooring.kube import errors, resources

if TYPE_CHECKING:
    import datetime
    from collections.abc import Awaitable, Callable

    from mooring.controller.serving import Serving
    from mooring.kube.client import Client

_LOG = logging.getLogger(__name__)

_EVERY = 3600.0


class Reconciler:
    """Keeps certificate and webhook configuration together; only the leader runs it.

    `tell(reason, note, warning)` writes an event; `changed()` is called when `problems` change.
    """

    def __init__(
        self,
        client: Client,
        serving: Serving,
        *,
        namespace: str,
        tell: Callable[[str, str, bool], Awaitable[None]],
        changed: Callable[[], None],
        now: Callable[[], datetime.datetime],
    ) -> None:
        self._client = client
        self._serving = serving
        self._namespace = namespace
        self._tell = tell
        self._changed = changed
        self._now = now
        # The certificate and the failure policy for which this process wrote the configuration last.
        self._wrote: tuple[certificates.Bundle | None, str] | None = None
        self.problems: tuple[Problem, ...] = ()
        """What is wrong with the webhook for all replicas; for the conditions of the Installation."""

    async def reconcile(self) -> float | None:
        """Compare and repair once; return the seconds until the next look.

        Raises:
            errors.ApiError: the Secret or the configuration could not be read or written.
        """
        await self._serving.configurations.synced.wait()
        found = self._serving.configuration
        elsewhere = configuration.injected(found)
        bundle = await self._given() if elsewhere else await self._bundle()
        problems = []
        if elsewhere and bundle is None:
            problems.append(
                Problem(
                    "NoCertificate",
                    f"cert-manager has not made a usable Secret {certificates.SECRET} for the webhook: look at its "
                    f"Certificate in {self._namespace}.",
                )
            )
        if found is None:
            problems.append(
                Problem(
                    "WebhookConfigurationMissing",
                    f"There is no ValidatingWebhookConfiguration {configuration.NAME}, so networks are not judged when "
                    "they are applied: apply the manifests again.",
                )
            )
        else:
            wrong = configuration.edited(found)
            if wrong:
                problems.append(
                    Problem(
                        "WebhookConfigurationEdited",
                        f"ValidatingWebhookConfiguration {configuration.NAME} was edited, and networks pass unjudged: "
                        f"{'; '.join(wrong)}. Apply the manifests again.",
                    )
                )
            if configuration.entry(found) is not None:
                await self._configure(found, None if elsewhere else bundle)
        await self._report(tuple(problems))
        return _EVERY

    async def _report(self, problems: tuple[Problem, ...]) -> None:
        before, self.problems = self.problems, problems
        if problems == before:
            return
        self._changed()
        for problem in problems:
            if problem not in before:
                _LOG.warning("%s", problem.message)
                await self._tell(problem.reason, problem.message, True)
        if not problems:
            _LOG.info("The webhook configuration is in order again")

    async def _given(self) -> certificates.Bundle | None:
        """Return the certificate that somebody else looks after."""
        try:
            secret = await self._client.get(resources.SECRETS, certificates.SECRET, namespace=self._namespace)
            return certificates.from_secret(secret)
        except (errors.NotFound, certificates.UnusableSecretError):
            return None

    async def _bundle(self) -> certificates.Bundle:
        """Return the certificate of the Secret, made or renewed where it must be."""
        try:
            secret = await self._client.get(resources.SECRETS, certificates.SECRET, namespace=self._namespace)
        except errors.NotFound:
            return await self._write(None, version=None)
        version = secret["metadata"]["resourceVersion"]
        try:
            bundle = certificates.from_secret(secret)
        except certificates.UnusableSecretError as error:
            _LOG.warning("%s; making a new one", error)
            return await self._write(None, version=version)
        if certificates.needs_renewal(bundle, namespace=self._namespace, now=self._now()):
            return await self._write(bundle, version=version)
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
        reason, verb = ("CertificateMade", "has a new") if previous is None else ("CertificateRenewed", "has a renewed")
        note = f"Secret {certificates.SECRET} {verb} certificate for the webhook."
        await self._tell(reason, note, False)
        return bundle

    async def _configure(self, found: dict[str, Any], bundle: certificates.Bundle | None) -> None:
        """Write what is ours of the configuration, where it differs; without `bundle` not the caBundle."""
        role = await self._client.get(resources.CLUSTER_ROLES, keys.CLUSTER_ROLE)
        owner = {
            "apiVersion": resources.CLUSTER_ROLES.api_version,
            "kind": resources.CLUSTER_ROLES.kind,
            "name": keys.CLUSTER_ROLE,
            "uid": role["metadata"]["uid"],
        }
        wanted: dict[str, Any] = {"name": configuration.WEBHOOK, "failurePolicy": self._serving.failure_policy}
        if bundle is not None:
            ours = configuration.entry(found) or {}
            present = certificates.from_ca_bundle(ours.get("clientConfig", {}).get("caBundle"))
            trusted = certificates.overlapping(bundle, present, now=self._now())
            wanted["clientConfig"] = {"caBundle": certificates.ca_bundle(trusted)}
        if _holds(found, owner, wanted):
            return
        body = {
            "apiVersion": resources.VALIDATING_WEBHOOKS.api_version,
            "kind": resources.VALIDATING_WEBHOOKS.kind,
            # The uid: of one that was deleted meanwhile, nothing must be made anew.
            "metadata": {"name": configuration.NAME, "uid": found["metadata"]["uid"], "ownerReferences": [owner]},
            "webhooks": [wanted],
        }
        await self._client.apply(resources.VALIDATING_WEBHOOKS, body, field_manager=keys.FIELD_MANAGER)
        _LOG.info("Wrote caBundle, failure policy and owner of the webhook configuration")
        before, self._wrote = self._wrote, (bundle, self._serving.failure_policy)
        if before is None:
            mended = any(each.get("clientConfig", {}).get("caBundle") for each in found.get("webhooks") or [])
        else:
            mended = before == self._wrote  # else it is a renewal, or another failure policy
        if mended:
            note = f"Mended caBundle, failure policy or owner of ValidatingWebhookConfiguration {configuration.NAME}."
            await self._tell("WebhookConfigurationMended", note, False)


def _holds(found: dict[str, Any], owner: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether the configuration says what we want it to; others' words in it do not matter."""
    present = configuration.entry(found) or {}
    given = wanted.get("clientConfig")
    return (
        owner in (found["metadata"].get("ownerReferences") or [])
        and (given is None or present.get("clientConfig", {}).get("caBundle") == given["caBundle"])
        and present.get("failurePolicy") == wanted["failurePolicy"]
    )
