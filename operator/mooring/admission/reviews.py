"""Admission reviews: owns how a review becomes an answer, as a pure function of the review.

It asks no API and no clock: a review must be answered within milliseconds, and the API server waits. It refuses
nothing that was already there: an update that leaves the configuration as it is passes, so that labels and
finalizers of a definition that is broken already can still be changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from mooring.networks import nads
from mooring.rules import definitions
from mooring.rules.findings import Finding, Severity

#: Kubernetes cuts a warning at 256 characters and drops all of them beyond 4096.
WARNING_LENGTH = 256
WARNINGS_LENGTH = 4096

#: A message is shown to a person; what is beyond this says how many more there are.
_SHOWN = 20
_FINDING_LENGTH = 1000


class MalformedReviewError(ValueError):
    """The request is no admission review; the text says what is missing."""


def review_definition(
    review: Mapping[str, object],
    *,
    severities: Mapping[str, Severity] | None = None,
    found: Callable[[Sequence[Finding]], None] = lambda _: None,
) -> dict[str, object]:
    """Answer the review of a NetworkAttachmentDefinition that is created or updated.

    Returns an AdmissionReview with its response; `found` is told what was found. Raises MalformedReviewError.
    """
    request = _request(review)
    manifest = request.get("object")
    if request.get("operation") not in ("CREATE", "UPDATE"):
        return _answer(review, request, findings=())
    if not isinstance(manifest, Mapping):
        raise MalformedReviewError("request.object is missing")
    if _untouched(manifest, request.get("oldObject")) or _deleting(manifest):
        return _answer(review, request, findings=())
    findings = definitions.validate(manifest, severities=severities or {})
    found(findings)
    return _answer(review, request, findings=findings)


def refuse(review: Mapping[str, object], *, message: str, code: int) -> dict[str, object]:
    """Answer that the request is denied, with a message for the person who sent it."""
    request = _request(review)
    return _envelope(
        review, request, {"allowed": False, "status": {"code": code, "reason": "InternalError", "message": message}}
    )


def _request(review: Mapping[str, object]) -> Mapping[str, object]:
    request = review.get("request")
    if not isinstance(request, Mapping):
        raise MalformedReviewError("request is missing")
    if not isinstance(request.get("uid"), str):
        raise MalformedReviewError("request.uid is missing")
    return request


def _untouched(manifest: Mapping[str, object], old: object) -> bool:
    if not isinstance(old, Mapping):
        return False
    return manifest.get("spec") == old.get("spec") and _resource_name(manifest) == _resource_name(old)


def _resource_name(manifest: Mapping[str, object]) -> object:
    metadata = manifest.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    return annotations.get(nads.RESOURCE_NAME) if isinstance(annotations, Mapping) else None


def _deleting(manifest: Mapping[str, object]) -> bool:
    metadata = manifest.get("metadata")
    return isinstance(metadata, Mapping) and metadata.get("deletionTimestamp") is not None


def _answer(
    review: Mapping[str, object], request: Mapping[str, object], *, findings: Sequence[Finding]
) -> dict[str, object]:
    response: dict[str, object] = {"allowed": True}
    enforced = [finding for finding in findings if finding.severity is Severity.ENFORCE]
    if enforced:
        response = {
            "allowed": False,
            "status": {"code": 422, "reason": "Invalid", "message": denial(request, enforced)},
        }
    warned = warnings(finding for finding in findings if finding.severity is Severity.WARN)
    if warned:
        response["warnings"] = warned
    return _envelope(review, request, response)


def _envelope(
    review: Mapping[str, object], request: Mapping[str, object], response: Mapping[str, object]
) -> dict[str, object]:
    return {
        "apiVersion": review.get("apiVersion", "admission.k8s.io/v1"),
        "kind": "AdmissionReview",
        "response": {"uid": request["uid"], **response},
    }


def denial(request: Mapping[str, object], findings: Sequence[Finding]) -> str:
    """Return what a person reads whose definition is refused: every finding numbered, with what to write."""
    name = f"{request.get('namespace', '')}/{request.get('name', '')}".strip("/")
    count = len(findings)
    lines = [f"NetworkAttachmentDefinition {name or '(no name yet)'} has {count} mistake{'s'[: count != 1]}:"]
    for number, finding in enumerate(findings[:_SHOWN], start=1):
        lines.append(f"  {number}. {finding.path}: {_shorten(finding.message, _FINDING_LENGTH)}")
        lines.append(f"     {_shorten(finding.remedy, _FINDING_LENGTH)} ({finding.code})")
    if count > _SHOWN:
        lines.append(f"  ... and {count - _SHOWN} more")
    return "\n".join(lines)


def warnings(findings: Iterable[Finding]) -> list[str]:
    """Return the warnings as Kubernetes takes them: each and all together within its limits."""
    taken: list[str] = []
    room = WARNINGS_LENGTH
    waiting = [_shorten(str(finding).replace("\n", " "), WARNING_LENGTH) for finding in findings]
    for index, text in enumerate(waiting):
        left = len(waiting) - index
        note = f"... and {left} more warnings"
        if len(text) + (len(note) if left > 1 else 0) > room:
            taken.append(note)
            break
        taken.append(text)
        room -= len(text)
    return taken


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."
