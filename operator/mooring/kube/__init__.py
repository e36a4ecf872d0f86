"""Ring 2: all traffic with the API server."""
