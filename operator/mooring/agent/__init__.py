"""Ring 3: the node process; one small reconciler per concern."""
