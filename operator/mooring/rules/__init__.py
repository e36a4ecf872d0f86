"""Ring 1, pure: findings; one module per rule family."""
