"""Owns the plugin's identity at the API server: a kubeconfig on the node that follows the server and its authority.

The token is not the one of the agent's pod, which dies with the pod: it is asked for the service account
`mooring-plugin`, bound to the Node object, and renewed at half its life. Another URL or certificate authority, as the
agent itself follows them, is written when it is known. A kubeconfig is replaced as one file, so the
plugin never reads a new token beside an old certificate authority. Refuses to log any of it.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from mooring.agent import loops
from mooring.kube import errors, resources
from mooring.node import files, manifest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mooring.agent.revisions import Revision
    from mooring.node import places

SERVICE_ACCOUNT = "mooring-plugin"
LIFE_SECONDS = 24 * 3600
_MODE = 0o600


@dataclasses.dataclass(frozen=True, slots=True)
class Token:
    """What a service account's token says of itself; times are seconds since 1970."""

    issued: float
    expires: float
    node: str
    """The UID of the Node that it is bound to."""

    @property
    def renewal(self) -> float:
        """When it is to be replaced: at half its life."""
        return (self.issued + self.expires) / 2


class Credentials(loops.Reconciler):
    """Keeps `mooring.d/kubeconfig` usable."""

    name = "credentials"
    reason = "CredentialsNotWritten"
    period = 600.0  # a token is renewed hours before it ends; this is soon enough

    def __init__(
        self,
        site: loops.Site,
        *,
        revision: Callable[[], Revision | None],
        now: Callable[[], float],
        on_health: Callable[[], None],
    ) -> None:
        """`now` is the wall clock in seconds: tokens know no other."""
        super().__init__(on_health=on_health)
        self._site = site
        self._revision = revision
        self._now = now
        self._uncertain = False
        """Writing failed: what is there may not outlive a power cut, and is written again though it reads right."""

    async def reconcile(self) -> float | None:
        """Renew the token where it is old, of another node, or not there."""
        revision = self._revision()
        if revision is None:
            return None
        path = revision.places.seen(revision.places.kubeconfig)
        found = await asyncio.to_thread(_read, path)
        token = None if found is None else inspect(_token_of(found))
        wanted = self._document(_token_of(found or {}))
        try:
            node = await self._site.client.get(resources.NODES, self._site.node)
            uid = node["metadata"]["uid"]
            if token is None or token.node != uid or token.renewal <= self._now() or found != wanted:
                fresh = await self._ask(uid)
                token = inspect(fresh)
                await self._put(revision.places, self._document(fresh))
            elif self._uncertain:
                await self._put(revision.places, wanted)
        except errors.ApiError as error:
            if token is None or token.expires <= self._now():
                raise
            # The token on the node serves on; what it is shown to, and how that is known, may be another server now.
            if found != wanted or self._uncertain:
                await self._put(revision.places, wanted)
            self.report(settled=True, warning=f"The plugin's credentials cannot be renewed: {error}")
            return self.pause.longest
        self.report(settled=True)
        return None

    def _document(self, token: str) -> dict[str, Any]:
        return kubeconfig(server=self._site.client.url, authority=self._site.client.certificate_authority, token=token)

    async def _put(self, node: places.Places, document: dict[str, Any]) -> None:
        self._uncertain = True
        await asyncio.to_thread(_write, node, document)
        self._uncertain = False

    async def _ask(self, uid: str) -> str:
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "expirationSeconds": LIFE_SECONDS,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Node", "name": self._site.node, "uid": uid},
            },
        }
        answer = await self._site.client.create(
            resources.SERVICE_ACCOUNTS,
            request,
            namespace=self._site.namespace,
            name=SERVICE_ACCOUNT,
            subresource="token",
        )
        return str(answer["status"]["token"])


def kubeconfig(*, server: str, authority: bytes, token: str) -> dict[str, Any]:
    """Return a kubeconfig for one server and one token; JSON of it is YAML too."""
    name = "mooring"
    cluster = {"server": server}
    if authority:
        cluster["certificate-authority-data"] = base64.b64encode(authority).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": cluster}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "users": [{"name": name, "user": {"token": token}}],
    }


def inspect(token: str) -> Token | None:
    """Return what a token says of itself, without proof; None for what is no token of a node."""
    try:
        body = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return Token(
            issued=float(claims["iat"]),
            expires=float(claims["exp"]),
            node=str(claims["kubernetes.io"]["node"]["uid"]),
        )
    except (ValueError, KeyError, IndexError, TypeError):
        return None


def _token_of(document: dict[str, Any]) -> str:
    try:
        token = document["users"][0]["user"]["token"]
    except (KeyError, IndexError, TypeError):
        return ""
    return token if isinstance(token, str) else ""


def _read(path: Path) -> dict[str, Any] | None:
    """Return the kubeconfig on the node; None where there is none that we wrote, or one that others can read.

    A token that a killed writer left under another name goes.
    """
    files.sweep(path.parent)
    try:
        if path.stat().st_mode & 0o077:
            return None
        document = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _write(node: places.Places, document: dict[str, Any]) -> None:
    path, data = node.seen(node.kubeconfig), json.dumps(document).encode()
    files.make_folder(path.parent, mode=0o700)
    manifest.Manifest(node.state).record(node.kubeconfig, manifest.digest(data), manifest.MOORING)
    files.write_atomically(path, data, mode=_MODE, durable=True)
    files.sync_folder(path.parent.parent)  # the folder may be as new as the file
