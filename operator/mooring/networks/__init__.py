"""Ring 1, pure: NADs, CNI configurations, the annotation grammar, network-status; no I/O."""
