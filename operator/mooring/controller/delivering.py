"""The DaemonSets of plugin sets: owns that those of the revisions in use are there as they should be, and no other.

Refuses to write what is right already: there may be many, and each look would write them all.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from typing import TYPE_CHECKING, Any

from mooring.controller import keys
from mooring.kube import errors, resources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mooring.kube.client import Client

_LOG = logging.getLogger(__name__)

MARK = "mooring.dev/desired"


def covers(found: object, desired: object) -> bool:
    """Whether an object says all that is desired; what the API server or others added to it does not count."""
    if isinstance(desired, dict):
        return isinstance(found, dict) and all(key in found and covers(found[key], desired[key]) for key in desired)
    if isinstance(desired, list):
        return isinstance(found, list) and len(found) == len(desired) and all(map(covers, found, desired))
    return type(found) is type(desired) and found == desired


def marked(desired: dict[str, Any]) -> dict[str, Any]:
    """Return an object that carries a checksum of itself: by it what is no longer desired is missed too."""
    content = json.dumps(desired, sort_keys=True).encode()
    metadata = desired["metadata"]
    annotations = {**metadata.get("annotations", {}), MARK: hashlib.sha256(content).hexdigest()[:16]}
    return {**desired, "metadata": {**metadata, "annotations": annotations}}


async def apply(
    client: Client,
    found: Mapping[str, Mapping[str, Any]],
    desired: Mapping[str, dict[str, Any]],
    *,
    namespace: str,
) -> None:
    """Make the DaemonSets what is desired; `found` is by namespace/name, `desired` by name.

    Raises:
        errors.ApiError: one could not be written or removed; the others were tried.
    """
    failed: errors.ApiError | None = None
    for name, wanted in desired.items():
        each = marked(wanted)
        if covers(found.get(f"{namespace}/{name}"), each):
            continue
        try:
            await client.apply(resources.DAEMON_SETS, each, field_manager=keys.FIELD_MANAGER)
        except errors.ApiError as error:
            failed = failed or error
    for item in list(found.values()):
        name = str(item["metadata"]["name"])
        if name in desired:
            continue
        try:
            with contextlib.suppress(errors.NotFound):
                await client.delete(resources.DAEMON_SETS, name, namespace=namespace)
            _LOG.info("Removed DaemonSet %s: no node has a revision with that plugin set", name)
        except errors.ApiError as error:
            failed = failed or error
    if failed is not None:
        raise failed
