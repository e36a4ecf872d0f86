"""The image to run on the nodes: owns finding it in the operator's own pod, so that it is overridden once.

Refuses to guess inside a cluster: an operator that cannot read its pod says so, and changes nothing on the nodes.
"""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING

from mooring.kube import resources

if TYPE_CHECKING:
    from mooring.kube.client import Client

_CONTAINER = "operator"


class Image:
    """The operator's own image. `pod_name` is "" where it runs outside of a cluster."""

    def __init__(self, client: Client, *, namespace: str, pod_name: str) -> None:
        self._client = client
        self._namespace = namespace
        self._pod_name = pod_name
        self._found = "" if pod_name else f"mooring.dev/mooring:{importlib.metadata.version('mooring')}"

    async def get(self) -> str:
        """Return the image's name; it is asked for once.

        Raises:
            errors.ApiError: the pod cannot be read.
        """
        if not self._found:
            pod = await self._client.get(resources.PODS, self._pod_name, namespace=self._namespace)
            containers = {each["name"]: each["image"] for each in pod["spec"]["containers"]}
            # Whoever renamed the container has one, or means the first.
            self._found = str(containers.get(_CONTAINER) or next(iter(containers.values())))
        return self._found
