"""Mooring: more than one network for Kubernetes pods, safe to run."""
