"""Credentials and connections: owns how a process finds its API server and how sockets to it are made.

The official package reads the service account or the kubeconfig (exec plug-ins included). Their files are looked at
before every request and read anew when they changed, so a certificate authority or a token that is rotated, and the
server that a kubeconfig names, are followed while the process runs. Refuses to keep a dead connection: on a watch
nothing may arrive for a minute, so the kernel probes the other side and ends the connection within half a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib.metadata
import logging
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import aiohttp
from kubernetes.aio import client as official
from kubernetes.aio import config as official_config
from kubernetes.aio.client import rest
from kubernetes.aio.config import incluster_config

from mooring.kube import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_LOG = logging.getLogger(__name__)

_DEFAULT_KUBECONFIG = str(Path("~/.kube/config").expanduser())
Identity: TypeAlias = tuple[int, int, int, int] | None

# No call lasts longer; a watch over a connection of before is cut then, and begins anew over a new one.
_GRACE_SECONDS = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """What a connection is made of but for the token: another one needs new connections."""

    url: str
    authority: bytes
    """PEM text; b"" for the system's own authorities."""
    certificate: bytes
    key: bytes = dataclasses.field(repr=False)
    name: str
    """The name in the server's certificate where it is not that of the URL."""
    verified: bool


class Connection:
    """The official client, kept in step with the files that it was made of. Its user closes it."""

    def __init__(self, configuration: official.Configuration, seen: dict[Path, Identity]) -> None:
        self.server = _server(configuration)
        """The API server as of the last reading."""
        self._seen = seen
        self._api = _client(configuration, self.server)
        self._listeners: list[Callable[[], None]] = []
        self._lock = asyncio.Lock()
        self._retired: dict[asyncio.Task[None], official.ApiClient] = {}

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever `server` is another one."""
        self._listeners.append(listener)

    async def current(self) -> official.ApiClient:
        """Return the client for the next request, after a look at the files."""
        if self._seen != _identities(self._seen):
            async with self._lock:
                if self._seen != _identities(self._seen):  # not read by another request meanwhile
                    await self._read()
        return self._api

    async def renew(self) -> bool:
        """Read the credentials anew, whatever the files look like; return whether there are other connections now.

        For an answer 401 and for a certificate that is not trusted: exec plug-ins hand out short-lived tokens, and a
        file system may keep the times of a file that changed.
        """
        before = self.server
        async with self._lock:
            if self.server == before:
                await self._read()
        return self.server != before

    async def sessions(self) -> Callable[[tuple[aiohttp.ClientMiddlewareType, ...]], aiohttp.ClientSession]:
        """Return what makes sessions with the credentials of now, for a library that sends its own requests.

        It is called in the event loop that uses the session, with what each request passes through; its user closes
        the session. That follows nothing: `on_change` tells when it is to be replaced, an answer 401 that its token
        ended.
        """
        api = await self.current()
        headers: dict[str, str] = {}
        await api.update_params_for_auth(headers, [], ["BearerToken"], "", "GET", None)
        rest_client: _Rest = api.rest_client
        return lambda middlewares: aiohttp.ClientSession(
            connector=rest_client.connector(),
            headers=headers,
            proxy=rest_client.proxy,
            trust_env=True,
            read_bufsize=2**21,
            middlewares=middlewares,
        )

    async def close(self) -> None:
        """End all connections."""
        retired = dict(self._retired)
        for task, api in retired.items():
            task.cancel()
            await api.close()
        await asyncio.gather(*retired, return_exceptions=True)
        await self._api.close()

    async def _read(self) -> None:
        """Take what the files say now; where that is nothing usable, what they said before stays."""
        # Before their content: what changes while they are read is another file at the next look.
        seen = _identities(self._seen)
        try:
            configuration, self._seen = await _load()
            server = _server(configuration)
            if server == self.server:
                self._api.configuration.api_key = configuration.api_key
                self._api.configuration.refresh_api_key_hook = configuration.refresh_api_key_hook
                return
            made = _client(configuration, server)
        except (errors.Unreachable, OSError, ValueError) as error:  # an `ssl.SSLError` is an `OSError`
            self._seen = seen
            _LOG.warning("the credentials that were replaced are of no use, those of before stay: %s", error)
            return
        _LOG.info("the API server is %s, by the credentials that were replaced", server.url)
        retired, self._api, self.server = self._api, made, server
        task = asyncio.create_task(_retire(retired))
        self._retired[task] = retired
        task.add_done_callback(lambda ended: self._retired.pop(ended, None))
        for listener in self._listeners:
            listener()


async def connect() -> Connection:
    """Return a connection from the pod's service account, else from KUBECONFIG.

    Needs a running event loop; the caller closes it.

    Raises:
        Unreachable: neither a service account nor a usable kubeconfig was found.
    """
    configuration, seen = await _load()
    try:
        return Connection(configuration, seen)
    except (OSError, ValueError) as error:
        raise _unusable(error) from error


async def _retire(api: official.ApiClient) -> None:
    """Close a client when its calls have ended."""
    await asyncio.sleep(_GRACE_SECONDS)
    await api.close()


def _identities(files: Iterable[Path]) -> dict[Path, Identity]:
    """Return what changes when a file, or where its name leads to, is replaced or written; None where there is none."""
    found: dict[Path, Identity] = {}
    for file in files:
        found[file] = None
        with contextlib.suppress(OSError):
            status = file.stat()
            found[file] = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    return found


async def _load() -> tuple[official.Configuration, dict[Path, Identity]]:
    """Return what the files say and what they were before they were read."""
    configuration = official.Configuration()
    in_pod = bool(os.environ.get("KUBERNETES_SERVICE_HOST"))
    if in_pod:
        sources = [Path(incluster_config.SERVICE_TOKEN_FILENAME), Path(incluster_config.SERVICE_CERT_FILENAME)]
    else:
        named = os.environ.get("KUBECONFIG") or _DEFAULT_KUBECONFIG
        sources = [Path(each) for each in named.split(os.pathsep) if each]
    seen = _identities(sources)
    try:
        if in_pod:
            official_config.load_incluster_config(configuration)
        else:
            await official_config.load_kube_config(
                config_file=os.environ.get("KUBECONFIG") or None,
                client_configuration=configuration,
                persist_config=False,
            )
    except (official_config.ConfigException, OSError, ValueError, TypeError) as error:
        # TypeError: what the package raises where the kubeconfig does not exist at all.
        raise _unusable(error) from error
    named_in_it = (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file)
    return configuration, seen | _identities(Path(each) for each in named_in_it if each)


def _unusable(error: Exception) -> errors.Unreachable:
    return errors.Unreachable(
        message=f"no usable credentials for the API server ({error}); "
        "run in a pod with a service account, or set KUBECONFIG to a readable kubeconfig"
    )


def _server(configuration: official.Configuration) -> Server:
    """Read what the configuration names. Raises `OSError`."""

    def content(path: str | None) -> bytes:
        return Path(path).read_bytes() if path else b""

    return Server(
        url=str(configuration.host),
        authority=content(configuration.ssl_ca_cert),
        certificate=content(configuration.cert_file),
        key=content(configuration.key_file),
        name=configuration.tls_server_name or "",
        verified=bool(configuration.verify_ssl),
    )


def _client(configuration: official.Configuration, server: Server) -> official.ApiClient:
    """Return a client that trusts the authority that was read, not what its file holds meanwhile."""
    if server.authority:
        configuration.ssl_ca_cert, configuration.ca_cert_data = None, server.authority.decode()
    api = official.ApiClient(configuration)
    api.user_agent = f"mooring/{importlib.metadata.version('mooring')}"
    api.rest_client = _Rest(api.configuration)
    return api


class _Rest(rest.RESTClientObject):  # type: ignore[misc]  # the package is not type-checked
    def _create_connector(self) -> aiohttp.TCPConnector:
        return self.connector()

    def connector(self) -> aiohttp.TCPConnector:
        """Return a pool of connections of its own."""
        return aiohttp.TCPConnector(limit=self.maxsize, ssl=self.ssl_context, socket_factory=_make_socket)


def _make_socket(address: tuple[Any, ...]) -> socket.socket:
    made = socket.socket(address[0], address[1], address[2])
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    # Keepalive says nothing while our own bytes wait to be acknowledged; this limit does, in milliseconds.
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 25_000)
    return made
