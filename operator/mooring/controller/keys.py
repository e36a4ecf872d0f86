"""The operator's pieces of work, by name: owns the keys of the queue and the names they stand for."""

from __future__ import annotations

INSTALLATION = "Installation default"
WEBHOOK = "the webhook's certificate"
EVICTIONS = "pods without their networks"
REPORTS = "the NetworkReports"
DEFINITION = "the CRD of NetworkAttachmentDefinitions"
# No key of the queue: kopf calls it.
UNINSTALL = "the uninstall"

ALL = (DEFINITION, WEBHOOK, INSTALLATION, EVICTIONS, REPORTS)

FIELD_MANAGER = "mooring-operator"
OURS = {"app.kubernetes.io/managed-by": "mooring-operator"}
"""The label of all that the operator makes."""
INSTALLATION_NAME = "default"
LEASE = "mooring-operator"
CLUSTER_ROLE = "mooring-operator"
