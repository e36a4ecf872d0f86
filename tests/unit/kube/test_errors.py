"""Answers of the API server, and of what stands before it, as errors."""

from __future__ import annotations

import json

import pytest

from mooring.kube import errors


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.Invalid),
        (401, errors.Unauthorized),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (410, errors.Gone),
        (422, errors.Invalid),
        (429, errors.TooManyRequests),
        (500, errors.ApiError),
    ],
)
def test_each_status_has_its_kind(status: int, kind: type[errors.ApiError]) -> None:
    body = json.dumps({"kind": "Status", "reason": "Why", "message": "what", "details": {"causes": []}})
    error = errors.from_answer(status, body.encode(), request="GET /x")
    assert type(error) is kind
    assert (error.status, error.reason, error.message) == (status, "Why", "what")
    assert str(error) == f"GET /x: {status} Why: what"


def test_a_proxys_page_is_told_as_far_as_it_helps() -> None:
    error = errors.from_answer(502, b"<html>" + b"x" * 5000, request="GET /x")
    assert error.status == 502
    assert len(str(error)) < 400


def test_an_empty_answer_says_so() -> None:
    assert str(errors.from_answer(503, b"", request="GET /x")) == "GET /x: 503: the answer was empty"


def test_how_long_to_wait_is_kept() -> None:
    assert errors.from_answer(429, b"{}", request="", retry_after="7").retry_after == 7.0
    assert errors.from_answer(429, b"{}", request="", retry_after="Wed, 21 Oct").retry_after is None


def test_an_expired_watch_without_a_code_is_gone_all_the_same() -> None:
    assert isinstance(errors.from_status({"reason": "Expired", "message": "too old"}, request=""), errors.Gone)


@pytest.mark.parametrize("status", [0, 429, 500, 502, 503, 504])
def test_the_servers_own_trouble_passes(status: int) -> None:
    error = errors.from_answer(status, b"", request="") if status else errors.Unreachable(message="refused")
    assert errors.passes(error)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422])
def test_what_is_wrong_with_the_request_does_not_pass(status: int) -> None:
    assert not errors.passes(errors.from_answer(status, b"", request=""))
