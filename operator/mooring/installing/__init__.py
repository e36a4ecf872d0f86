"""Ring 1, pure: from an Installation to revisions, 00-multus.conf and the DaemonSet, as plain objects."""
