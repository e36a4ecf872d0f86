"""Ring 3: the operator process; kopf handlers that only enqueue, reconcilers that only the leader runs."""
