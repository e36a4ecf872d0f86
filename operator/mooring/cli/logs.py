"""Owns how a process of Mooring writes its log to stderr: lines for people, or JSON for machines; refuses files.

A line of JSON has `time` (RFC 3339 in UTC), `level`, `logger`, `message`, and where there is one the trace in
`exception`. Messages are the same in both.
"""

from __future__ import annotations

import datetime
import logging
import sys
from typing import Any

_FIELDS = ("time", "level", "logger", "message", "exception")
_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def configure(form: str) -> None:
    """Log to stderr from now on, as `text` or as `json`; raises `ValueError` for another form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(form))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)


def formatter(form: str) -> logging.Formatter:
    """Return what writes records as `text` or as `json`; raises `ValueError` for another form."""
    if form == "text":
        return logging.Formatter(_TEXT)
    if form != "json":
        raise ValueError(f"a log is text or json, not {form!r}")
    # Only who asks for it pays for it.
    from pythonjsonlogger import json

    class Formatter(json.JsonFormatter):
        def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802  logging's
            moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
            return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")

        def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
            # Libraries put objects of theirs into records (kopf: its settings, the whole resource).
            return {name: value for name, value in log_data.items() if name in _FIELDS}

    return Formatter(
        ["asctime", "levelname", "name", "message"],
        rename_fields={"asctime": "time", "levelname": "level", "name": "logger", "exc_info": "exception"},
    )
