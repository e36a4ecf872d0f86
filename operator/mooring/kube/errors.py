"""What can go wrong between us and the API server: owns the tree of errors and how an answer becomes one.

Refuses to lose anything that helps: each error keeps the HTTP status, the API's reason and its message, and says
which request failed. No error holds a token or a header.
"""

from __future__ import annotations

import json
from typing import Any


class ApiError(Exception):
    """The API server answered with an error, or with none at all.

    Attributes:
        status: the HTTP status, 0 where there was no answer.
        reason: the API's own word, for example `AlreadyExists`; "" where there was none.
        message: the API server's sentence.
        details: the Status object's `details`, {} where there were none.
        retry_after: seconds that the API server asked us to wait, else None.
        request: what was tried, for example `GET /api/v1/nodes/n1`.
    """

    def __init__(
        self,
        *,
        status: int = 0,
        reason: str = "",
        message: str = "",
        details: dict[str, Any] | None = None,
        retry_after: float | None = None,
        request: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.details = details or {}
        self.retry_after = retry_after
        self.request = request

    def __str__(self) -> str:
        what = f"{self.status} {self.reason}".strip() if self.status else "no answer"
        return f"{self.request}: {what}: {self.message}" if self.request else f"{what}: {self.message}"


class NotFound(ApiError):
    """404: the object, or its kind, is not there."""


class Conflict(ApiError):
    """409: somebody else changed the object, or it exists (`reason` is `AlreadyExists`)."""


class Forbidden(ApiError):
    """403: RBAC or admission says no."""


class Unauthorized(ApiError):
    """401: the API server does not take our credentials."""


class Gone(ApiError):
    """410: the resource version or the continue token is too old; list anew."""


class Invalid(ApiError):
    """400 or 422: the API server does not take the object as it is."""


class TooManyRequests(ApiError):
    """429: come back after `retry_after` seconds."""


class Unreachable(ApiError):
    """There was no answer: network, TLS or time-out."""


def reason(error: BaseException) -> str:
    """Return what an exception says, or its kind where it says nothing: a log line must not end with a colon."""
    return str(error) or type(error).__name__


def passes(error: ApiError) -> bool:
    """Return whether the same request may succeed later: no answer, too many requests, or the server's own trouble.

    A 5xx says nothing about the request: an API server that restarts, etcd that elects, a webhook that is away.
    """
    return isinstance(error, Unreachable | TooManyRequests) or error.status >= 500


_KINDS: dict[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}


def from_status(status: dict[str, Any], *, request: str, retry_after: float | None = None) -> ApiError:
    """Return the error that a Status object (of an answer or of a watch event) stands for."""
    code = int(status.get("code") or 0)
    reason = str(status.get("reason") or "")
    if code == 0 and reason in ("Expired", "Gone"):
        code = 410
    details = status.get("details")
    return _KINDS.get(code, ApiError)(
        status=code,
        reason=reason,
        message=str(status.get("message") or "the API server gave no message"),
        details=details if isinstance(details, dict) else None,
        retry_after=retry_after,
        request=request,
    )


def from_answer(status: int, body: bytes, *, request: str, retry_after: str | None = None) -> ApiError:
    """Return the error that an HTTP answer stands for; the body is a Status object or any text (proxies)."""
    seconds = float(retry_after) if retry_after and retry_after.isdigit() else None
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    if isinstance(parsed, dict) and parsed.get("kind") == "Status":
        # The HTTP status is the truth; aggregated API servers have been seen to leave `code` out.
        return from_status({**parsed, "code": status}, request=request, retry_after=seconds)
    text = body[:300].decode(errors="replace").strip() or "the answer was empty"
    return _KINDS.get(status, ApiError)(status=status, message=text, retry_after=seconds, request=request)
