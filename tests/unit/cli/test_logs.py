"""A log is lines for people, or JSON for machines."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from mooring.cli import logs


def record(*, failed: bool = False) -> logging.LogRecord:
    trace = None
    if failed:
        try:
            raise OSError("the disk is full")
        except OSError:
            trace = sys.exc_info()
    made = logging.LogRecord("mooring.agent.conf", logging.WARNING, "x.py", 1, "wrote %s", ("a\nb",), trace)
    made.created = 1772366400.25
    return made


def test_json_has_time_level_logger_and_message_in_one_line() -> None:
    line = logs.formatter("json").format(record())
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2026-03-01T12:00:00.250000Z",
        "level": "WARNING",
        "logger": "mooring.agent.conf",
        "message": "wrote a\nb",
    }


def test_a_trace_is_one_field_of_the_same_line() -> None:
    line = logs.formatter("json").format(record(failed=True))
    assert "\n" not in line
    assert json.loads(line)["exception"].endswith("OSError: the disk is full")


def test_what_libraries_put_into_records_is_left_out() -> None:
    made = record()
    made.k8s_ref, made.settings = {"kind": "Installation"}, object()
    assert json.loads(logs.formatter("json").format(made)).keys() == {"time", "level", "logger", "message"}


def test_text_is_for_people() -> None:
    assert logs.formatter("text").format(record()).endswith(" WARNING mooring.agent.conf: wrote a\nb")


def test_no_other_form_is_taken() -> None:
    with pytest.raises(ValueError, match="text or json"):
        logs.formatter("xml")
