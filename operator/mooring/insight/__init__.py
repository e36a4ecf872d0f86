"""Verdicts, explanations and overviews out of objects: pure, read by the operator and by the command line."""
