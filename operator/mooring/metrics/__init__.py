"""Ring 1, pure: the names of the metrics of agent and operator, what they mean, and their text for Prometheus."""
