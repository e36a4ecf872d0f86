"""What the benchmark reads of the machine, of an audit log, of its command line."""

from __future__ import annotations

import json

import pytest

from bench import __main__ as command
from bench import bursts, calls, facts, networks


def event(user: str, verb: str, uri: str) -> str:
    return json.dumps({"user": {"username": user}, "verb": verb, "requestURI": uri})


def test_requests_are_told_apart_by_user_and_keep_their_order() -> None:
    lines = [
        event("bench-a", "get", "/api/v1/namespaces/bench/pods/p?timeout=5s"),
        event("bench-b", "get", "/x"),
        "",
        event("bench-a", "patch", "/api/v1/namespaces/bench/pods/p/status"),
    ]
    assert calls.requests(lines, by="bench-a") == [
        "get /api/v1/namespaces/bench/pods/p",
        "patch /api/v1/namespaces/bench/pods/p/status",
    ]


def test_memory_of_a_process_is_its_peak_and_its_own_pages() -> None:
    status = "Name:\tmooring\nVmHWM:\t    8192 kB\nRssAnon:\t     512 kB\nThreads:\t5\n"
    assert bursts.pages(status) == (8192, 512)


@pytest.mark.parametrize("status", ["", "Name:\tmooring\nState:\tZ (zombie)\n"])
def test_a_process_that_has_ended_has_no_memory(status: str) -> None:
    assert bursts.pages(status) == (0, 0)


def test_the_processor_is_named_once() -> None:
    text = "processor\t: 0\nmodel name\t: AMD EPYC 9R14\n\nprocessor\t: 1\nmodel name\t: AMD EPYC 9R14\n"
    assert facts.processor(text) == "AMD EPYC 9R14"
    assert facts.processor("Features : fp asimd\n") == "unknown"


def test_facts_make_a_plain_file_name() -> None:
    found: dict[str, str | int | float] = {"kernel": "6.18.44", "cpu": "Intel(R) Xeon(R) @ 2.20GHz", "cores": 2}
    assert facts.slug(found) == "linux-6.18.44-intel-r-xeon-r-2.20ghz-2-cores"


class TestTheCommandLine:
    def test_it_measures_everything_by_itself(self) -> None:
        options = command.arguments([])
        assert (options.rounds, options.networks, options.burst) == (20, [0, 1, 2, 4, 8], 50)
        assert options.only == command.PARTS

    def test_numbers_are_sorted_and_single(self) -> None:
        assert command.arguments(["--networks=4,1,4"]).networks == [1, 4]

    @pytest.mark.parametrize(
        "words",
        [["--networks=201"], ["--networks=-1"], ["--networks=x"], ["--only=all"], ["--other=/x"], ["--rounds=0"]],
    )
    def test_what_makes_no_sense_is_refused(self, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            command.arguments(words)
        assert "error" in capsys.readouterr().err


def test_a_pod_with_two_more_networks_has_three_interfaces() -> None:
    assert networks.interfaces(2) == ["eth0", "net1", "net2"]
    assert networks.annotation(2) == "net-1,net-2"
    assert networks.annotation(0) == ""
