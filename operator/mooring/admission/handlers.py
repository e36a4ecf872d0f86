"""What the webhook server answers: owns the paths and nothing else.

The path of a webhook is a contract with the webhook configuration in the manifests (docs/contracts.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mooring.admission import reviews
from mooring.admission.server import Route
from mooring.admission.tallies import Tally
from mooring.networks import nads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mooring.rules.findings import Severity

DEFINITIONS = "/validate/networkattachmentdefinitions"


def routes(*, severities: Callable[[], Mapping[str, Severity]] = dict, tally: Tally | None = None) -> list[Route]:
    """Return every declared path.

    `severities` is asked for what the Installation sets, at each review; `tally` counts what others' reviews found.
    """
    counted = tally or Tally()
    bad, good = _review("{this is not JSON"), _review('{"cniVersion": "1.0.0", "type": "loopback"}')

    def review(request: Mapping[str, object]) -> dict[str, object]:
        if request in (bad, good):
            return reviews.review_definition(request, severities=severities())
        return reviews.review_definition(request, severities=severities(), found=counted.add)

    return [Route(path=DEFINITIONS, review=review, known_bad=bad, known_good=good)]


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
