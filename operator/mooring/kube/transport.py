"""Credentials and connections: owns how a process finds its API server and how sockets to it are made.

The official package reads the service account or the kubeconfig (exec plug-ins included) and makes the TLS context.
Refuses to keep a dead connection: on a watch nothing may arrive for a minute, so the kernel probes the other side
and ends the connection within half a minute.
"""

from __future__ import annotations

import importlib.metadata
import os
import socket
from typing import Any

import aiohttp
from kubernetes.aio import client as official
from kubernetes.aio import config as official_config
from kubernetes.aio.client import rest

from mooring.kube import errors


class _Rest(rest.RESTClientObject):  # type: ignore[misc]  # the package is not type-checked
    def _create_connector(self) -> aiohttp.TCPConnector:
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


async def connect() -> official.ApiClient:
    """Return the official client, configured from the pod's service account, else from KUBECONFIG.

    Needs a running event loop; the caller closes it.

    Raises:
        Unreachable: neither a service account nor a usable kubeconfig was found.
    """
    api = official.ApiClient(await _configuration())
    api.user_agent = f"mooring/{importlib.metadata.version('mooring')}"
    api.rest_client = _Rest(api.configuration)
    return api


async def renew(api: official.ApiClient) -> None:
    """Read the credentials anew into a client in use: tokens rotate, and exec plug-ins hand out short-lived ones."""
    fresh = await _configuration()
    api.configuration.api_key = fresh.api_key
    api.configuration.refresh_api_key_hook = fresh.refresh_api_key_hook
    if fresh.cert_file:
        api.rest_client.ssl_context.load_cert_chain(fresh.cert_file, keyfile=fresh.key_file)


async def _configuration() -> official.Configuration:
    configuration = official.Configuration()
    try:
        if os.environ.get("KUBERNETES_SERVICE_HOST"):
            official_config.load_incluster_config(configuration)
        else:
            await official_config.load_kube_config(
                config_file=os.environ.get("KUBECONFIG") or None,
                client_configuration=configuration,
                persist_config=False,
            )
    except (official_config.ConfigException, OSError, ValueError, TypeError) as error:
        # TypeError: what the package raises where the kubeconfig does not exist at all.
        raise errors.Unreachable(
            message=f"no usable credentials for the API server ({error}); "
            "run in a pod with a service account, or set KUBECONFIG to a readable kubeconfig"
        ) from error
    return configuration
