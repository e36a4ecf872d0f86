"""The CRD of NetworkAttachmentDefinitions: owns that there is one.

It is created where it is absent. Refuses to change or remove one: with it all networks of the cluster would go, and
it may be somebody else's.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mooring.installing import definitions
from mooring.kube import errors, resources

if TYPE_CHECKING:
    from mooring.controller.observing import View
    from mooring.kube.client import Client

_LOG = logging.getLogger(__name__)


async def reconcile(client: Client, view: View) -> None:
    """Create the CRD where it is absent."""
    if definitions.NAME in view.definitions.store:
        return
    try:
        await client.create(resources.CRDS, definitions.definition())
    except errors.Conflict:
        return  # somebody else was faster
    _LOG.info("Created the CRD %s", definitions.NAME)
