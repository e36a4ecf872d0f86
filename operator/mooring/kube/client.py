"""The API server over plain dicts: owns requests, pages, watches and how failures are told.

Refuses typed models, discovery and hidden retries: a caller is told at once and decides. The exceptions are an
answer 401 and a certificate that is not trusted, after which the credentials are read anew and the request is sent
once more.
"""

from __future__ import annotations

import asyncio
import json
import urllib.parse
from typing import TYPE_CHECKING, Any

import aiohttp

from mooring.kube import errors, transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from types import TracebackType

    from mooring.kube.resources import Resource

PAGE_SIZE = 500
_SECONDS = 30.0
_OVERDUE_SECONDS = 30.0

_JSON = "application/json"
_MERGE_PATCH = "application/merge-patch+json"
_STRATEGIC_PATCH = "application/strategic-merge-patch+json"
_APPLY_PATCH = "application/apply-patch+yaml"  # JSON is YAML


class Client:
    """A connection to one API server; `async with await Client.load() as client:`.

    Every method raises an `errors.ApiError` of the fitting kind: `Unreachable` where there was no answer.
    """

    def __init__(self, connection: transport.Connection) -> None:
        self._connection = connection

    @classmethod
    async def load(cls) -> Client:
        """Return a client with the pod's service account, else with KUBECONFIG.

        Raises:
            errors.Unreachable: there are no usable credentials.
        """
        return cls(await transport.connect())

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all connections."""
        await self._connection.close()

    @property
    def url(self) -> str:
        """The API server's URL, without credentials."""
        return self._connection.server.url

    @property
    def certificate_authority(self) -> bytes:
        """The PEM text that the API server's certificate is checked against; b"" for the system's own."""
        return self._connection.server.authority

    def on_moved(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever the URL, the authority or our certificate are other ones than before."""
        self._connection.on_change(listener)

    async def sessions(self) -> Callable[[tuple[aiohttp.ClientMiddlewareType, ...]], aiohttp.ClientSession]:
        """Return what makes sessions with our credentials of now, for a library that sends its own requests."""
        return await self._connection.sessions()

    async def get(self, resource: Resource, name: str, *, namespace: str | None = None) -> dict[str, Any]:
        """Return an object."""
        return await self._call("GET", resource.path(namespace=namespace, name=name))

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> dict[str, Any]:
        """Return all objects as one list object: `items` and `metadata.resourceVersion`."""
        items: list[dict[str, Any]] = []
        metadata: dict[str, Any] = {}
        async for page in self.pages(
            resource, namespace=namespace, label_selector=label_selector, field_selector=field_selector
        ):
            items += page["items"]
            metadata = page["metadata"]
        return {
            "apiVersion": resource.api_version,
            "kind": f"{resource.kind}List",
            "metadata": metadata,
            "items": items,
        }

    async def pages(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the list page by page, so that a large one never is in memory at once.

        The first page's `metadata.resourceVersion` is that of all. Raises `errors.Gone` where the pages took so
        long that the API server forgot where they were; then begin anew.
        """
        query = {"limit": str(PAGE_SIZE)}
        if label_selector:
            query["labelSelector"] = label_selector
        if field_selector:
            query["fieldSelector"] = field_selector
        while True:
            page = await self._call("GET", resource.path(namespace=namespace), query=query)
            page["items"] = page.get("items") or []
            for item in page["items"]:
                # Built-in kinds leave these out inside lists; owners and events need them.
                item.setdefault("apiVersion", resource.api_version)
                item.setdefault("kind", resource.kind)
            yield page
            if not page["metadata"].get("continue"):
                return
            query["continue"] = page["metadata"]["continue"]

    async def create(
        self,
        resource: Resource,
        body: dict[str, Any],
        *,
        namespace: str | None = None,
        subresource: str | None = None,
        name: str | None = None,
        field_manager: str | None = None,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Create an object; or, with `name` and `subresource`, ask for one (`serviceaccounts/token`).

        A dry run is admitted and validated like any other request, and nothing is kept of it.
        """
        path = resource.path(namespace=namespace, name=name, subresource=subresource)
        query = {**_manager(field_manager), **({"dryRun": "All"} if dry_run else {})}
        return await self._call("POST", path, query=query, body=body)

    async def apply(
        self,
        resource: Resource,
        body: dict[str, Any],
        *,
        field_manager: str,
        force: bool = True,
        subresource: str | None = None,
    ) -> dict[str, Any]:
        """Apply an object (server-side apply): the fields in `body` become ours, and those we left out go."""
        metadata = body["metadata"]
        path = resource.path(namespace=metadata.get("namespace"), name=metadata["name"], subresource=subresource)
        query = {"fieldManager": field_manager, "force": "true" if force else "false"}
        return await self._call("PATCH", path, query=query, body=body, content_type=_APPLY_PATCH)

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: dict[str, Any],
        *,
        namespace: str | None = None,
        subresource: str | None = None,
        field_manager: str | None = None,
        strategic: bool = False,
    ) -> dict[str, Any]:
        """Change an object by a JSON merge patch: null removes, a list replaces the list.

        A `strategic` one, which only kinds of Kubernetes itself know, merges lists that have a key, as conditions.
        """
        path = resource.path(namespace=namespace, name=name, subresource=subresource)
        kind = _STRATEGIC_PATCH if strategic else _MERGE_PATCH
        return await self._call("PATCH", path, query=_manager(field_manager), body=patch, content_type=kind)

    async def delete(
        self,
        resource: Resource,
        name: str,
        *,
        namespace: str | None = None,
        uid: str | None = None,
        propagation: str | None = None,
    ) -> None:
        """Delete an object; with `uid` only that very one. `propagation`: Background, Foreground or Orphan."""
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid:
            body["preconditions"] = {"uid": uid}
        if propagation:
            body["propagationPolicy"] = propagation
        await self._call("DELETE", resource.path(namespace=namespace, name=name), body=body)

    async def watch(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        resource_version: str,
        label_selector: str | None = None,
        field_selector: str | None = None,
        timeout_seconds: int,
        overdue_seconds: float = _OVERDUE_SECONDS,
        on_open: Callable[[], None] | None = None,
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield events `{"type": ADDED | MODIFIED | DELETED | BOOKMARK, "object": …}` after a resource version.

        Ends after `timeout_seconds`, or when the API server ends it. A watch may be silent for all its life: no
        bookmarks come of a kind of which nothing has happened since the API server began. Where even its end does
        not come, `overdue_seconds` later, the other side hangs: `errors.Unreachable`. `on_open` is called when the
        API server has accepted. An ERROR event is raised as the error it holds: `errors.Gone` means list anew.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(timeout_seconds),
        }
        if label_selector:
            query["labelSelector"] = label_selector
        if field_selector:
            query["fieldSelector"] = field_selector
        path = resource.path(namespace=namespace)
        request = f"WATCH {path}"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_SECONDS, sock_read=timeout_seconds + overdue_seconds)
        try:
            answer = await self._send("GET", path, query=query, timeout=timeout)
            async with answer:
                if on_open:
                    on_open()
                async for line in _lines(answer.content):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise errors.from_status(event["object"], request=request)
                    yield event
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            # ValueError: a line that is no JSON, because something between us and the API server cut it.
            raise self._unreachable(request, error) from error

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
        content_type: str = _JSON,
    ) -> dict[str, Any]:
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        try:
            answer = await self._send(
                method, path, query=query or {}, body=body, content_type=content_type, timeout=timeout
            )
            async with answer:
                parsed = json.loads(await answer.read())
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise self._unreachable(f"{method} {path}", error) from error
        if not isinstance(parsed, dict):
            raise errors.Unreachable(message="the answer is no object of the API", request=f"{method} {path}")
        return parsed

    async def _send(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str],
        timeout: aiohttp.ClientTimeout,
        body: dict[str, Any] | None = None,
        content_type: str = _JSON,
    ) -> aiohttp.ClientResponse:
        """Send a request and return the answer once it is known to be good; its body is not read yet."""
        for renewed in (False, True):
            api = await self._connection.current()
            headers = {**api.default_headers, "Accept": _JSON, "Content-Type": content_type}
            await api.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
            url = self.url + path + _encode(query)
            try:
                wrapped = await api.call_api(method, url, headers, body, _request_timeout=timeout)
            except aiohttp.ClientSSLError:
                if not renewed and await self._connection.renew():
                    continue
                raise
            answer: aiohttp.ClientResponse = wrapped.response
            if answer.ok:
                return answer
            async with answer:
                text = await answer.read()
            if answer.status == 401 and not renewed:
                await self._connection.renew()
                continue
            break
        raise errors.from_answer(
            answer.status, text, request=f"{method} {path}", retry_after=answer.headers.get("Retry-After")
        )

    def _unreachable(self, request: str, error: Exception) -> errors.Unreachable:
        problem = errors.reason(error)
        if isinstance(error, asyncio.TimeoutError):
            problem = "it did not answer in time"
        elif isinstance(error, aiohttp.ClientPayloadError):
            problem = "the connection ended in the middle of the answer"
        return errors.Unreachable(message=f"{problem} ({self.url})", request=request)


def _manager(field_manager: str | None) -> dict[str, str]:
    return {"fieldManager": field_manager} if field_manager else {}


def _encode(query: dict[str, str]) -> str:
    return "?" + urllib.parse.urlencode(query) if query else ""


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Yield the non-empty lines of a stream; of any length, unlike the reader's own."""
    rest = bytearray()
    async for chunk in content.iter_any():
        rest += chunk
        if b"\n" not in chunk:
            continue
        *lines, last = rest.split(b"\n")
        rest = last
        for line in lines:
            if line.strip():
                yield bytes(line)
