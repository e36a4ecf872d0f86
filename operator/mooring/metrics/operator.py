"""Owns the names of the operator's metrics and what they mean; refuses to measure anything."""

from __future__ import annotations

from mooring.metrics.families import Family

BUILD = Family("mooring_operator_build_info", "gauge", "1, with the version of the operator.", ("version",))
READY = Family("mooring_operator_ready", "gauge", "1 where this replica answers reviews as it must, else 0.")
LEADER = Family("mooring_operator_leader", "gauge", "1 where this replica leads, else 0.")
TRANSITIONS = Family(
    "mooring_operator_leadership_changes_total", "counter", "How often this replica began or ceased to lead."
)

PASSES = Family(
    "mooring_operator_reconcile_duration_seconds",
    "histogram",
    "How long passes of a reconciler took, those that failed included; only the leader has any.",
    ("reconciler",),
)
FAILURES = Family(
    "mooring_operator_reconcile_failures_total",
    "counter",
    "Passes of a reconciler that failed, by the answer of the API server (`NotFound`, `Forbidden`, `Unreachable`, …), "
    "or `Fault` for a reason that Mooring does not know; `Conflict` is tried again at once and no cause for worry.",
    ("reconciler", "error"),
)
RUNNING = Family(
    "mooring_operator_reconcile_running_seconds",
    "gauge",
    "For how long the pass that runs now has been at it; 0 where none does.",
    ("reconciler",),
)
QUEUE_DEPTH = Family("mooring_operator_queue_depth", "gauge", "Pieces of work that are due and not begun yet.")
QUEUE_WAIT = Family(
    "mooring_operator_queue_wait_seconds", "histogram", "Time from the moment at which work was due until it was begun."
)
WATCH_AGE = Family(
    "mooring_operator_watch_age_seconds",
    "gauge",
    "Time since the API server last gave a sign of life about a kind, ten minutes at most where nothing happens to it; "
    "absent until it did.",
    ("resource",),
)
WATCHED = Family(
    "mooring_operator_watched_objects", "gauge", "Objects of a kind that this replica knows.", ("resource",)
)

CONDITION = Family(
    "mooring_operator_condition",
    "gauge",
    "1 where a condition of the Installation is True, 0 where it is not; the leader's word, absent elsewhere.",
    ("type", "reason"),
)
NODES_DESIRED = Family("mooring_operator_nodes_desired", "gauge", "Nodes that the Installation selects; of the leader.")
NODES_UPDATED = Family("mooring_operator_nodes_updated", "gauge", "Of them, those with the wanted revision.")
NODES_READY = Family("mooring_operator_nodes_ready", "gauge", "Of them, those on which pods get their networks.")
PHASES = Family(
    "mooring_operator_nodes",
    "gauge",
    "Nodes in a phase of the roll-out: `current`, `moving`, `proving`, `failing`, `away`, `held` or `unknown`; of the "
    "leader.",
    ("phase",),
)
NODE_PHASE = Family(
    "mooring_operator_node_phase_info",
    "gauge",
    "1 for each node that is in another phase than `current`, of at most 1,000 nodes; of the leader.",
    ("node", "phase"),
)
ROLLOUT = Family(
    "mooring_operator_rollout_info",
    "gauge",
    "1, with the wanted revision and the stage of its roll-out: `Canaries`, `Rest` or `Complete`; of the leader.",
    ("revision", "stage"),
)
ROLLOUT_SINCE = Family(
    "mooring_operator_rollout_start_timestamp_seconds",
    "gauge",
    "Since when the roll-out is under way, or went on again; of the leader.",
)
HALTED = Family(
    "mooring_operator_rollout_halted",
    "gauge",
    "1 with the node for which the roll-out has halted and why; absent while it goes on; of the leader.",
    ("node", "reason"),
)

REVIEWS = Family(
    "mooring_operator_reviews_total",
    "counter",
    "Reviews by their end: `allowed`, `denied`, `error` (a fault of ours: refused), `malformed`, `too-large`, `late` "
    "(no answer in time), or `self-test`.",
    ("path", "verdict"),
)
REVIEW_SECONDS = Family(
    "mooring_operator_review_duration_seconds",
    "histogram",
    "Time from the head of a review's request until its answer was there.",
    ("path",),
)
REVIEW_FINDINGS = Family(
    "mooring_operator_review_findings_total",
    "counter",
    "Findings in reviews by the code of their rule (docs/rules.md) and severity: `Enforce` refused, `Warn` warned.",
    ("code", "severity"),
)
CERTIFICATE = Family(
    "mooring_operator_certificate_expiry_timestamp_seconds",
    "gauge",
    "When the certificate that this replica shows to the API server ends; absent without one.",
)

FAMILIES = (
    *(BUILD, READY, LEADER, TRANSITIONS, PASSES, FAILURES, RUNNING, QUEUE_DEPTH, QUEUE_WAIT, WATCH_AGE, WATCHED),
    *(CONDITION, NODES_DESIRED, NODES_UPDATED, NODES_READY, PHASES, NODE_PHASE, ROLLOUT, ROLLOUT_SINCE, HALTED),
    *(REVIEWS, REVIEW_SECONDS, REVIEW_FINDINGS, CERTIFICATE),
)
