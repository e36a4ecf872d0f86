"""Ring 3: the webhook server and its thin kopf handlers."""
