"""What the webhook server answers: owns the paths and nothing else.

The path of a webhook is a contract with the webhook configuration in the manifests (docs/contracts.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mooring.admission import reviews
from mooring.admission.server import Route
from mooring.networks import nads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mooring.rules.findings import Severity

DEFINITIONS = "/validate/networkattachmentdefinitions"


def routes(*, severities: Callable[[], Mapping[str, Severity]] = dict) -> list[Route]:
    """Return every declared path; `severities` is asked for what the Installation sets, at each review."""

    def review(request: Mapping[str, object]) -> dict[str, object]:
        return reviews.review_definition(request, severities=severities())

    return [
        Route(
            path=DEFINITIONS,
            review=review,
            known_bad=_review("{this is not JSON"),
            known_good=_review('{"cniVersion": "1.0.0", "type": "loopback"}'),
        )
    ]


def _review(config: str) -> dict[str, object]:
    """Return the review of a definition that nobody has, as the API server would send it."""
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "mooring-selftest",
            "operation": "CREATE",
            "dryRun": True,
            "namespace": "default",
            "name": "mooring-selftest",
            "object": {
                "apiVersion": nads.API_VERSION,
                "kind": nads.KIND,
                "metadata": {"name": "mooring-selftest", "namespace": "default"},
                "spec": {"config": config},
            },
        },
    }
