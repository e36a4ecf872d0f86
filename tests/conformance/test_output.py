"""What the plugin writes to the runtime: nobody may read it, and nobody may be flooded by it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.conformance.node import NETWORKS, Node, stub

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conformance.node import Running

TEXT_BYTES = 4096


def _started(node: Node, go: Path, **answers: object) -> Running:
    """An ADD of two networks; the second one's delegate does not end before the file `go` is there."""
    node.network("a", stub("a"))
    node.answer(stub__ADD__net1={"waitFor": str(go), "stderr": "a word to the log\n"} | answers)
    conf = node.conf(stub(), logToStderr=True)
    running = node.start("ADD", conf, node.pod(), annotations={NETWORKS: "a"})
    while len(node.calls("ADD", event="begin")) < 2:
        assert running.process.poll() is None
    return running


@pytest.mark.parametrize("broken", [("stdout",), ("stdout", "stderr")], ids=" and ".join)
def test_ADD_20_a_result_that_nobody_reads_is_rolled_back_and_the_call_fails(
    node: Node, broken: tuple[str, ...]
) -> None:
    go = node.root / "go"
    running = _started(node, go)
    with running.process as process:
        for pipe in broken:
            getattr(process, pipe).close()
        go.touch()
        assert process.wait(timeout=30) == 1
    assert node.ran() == ["ADD eth0", "ADD net1", "DEL net1", "DEL eth0"]
    assert node.left() == []
    [failure] = node.failures()
    assert (failure["code"], failure["verb"]) == (5, "ADD")
    assert "writing the result: " in failure["msg"]
    assert "broken pipe" in failure["msg"]


def test_ADD_20_a_log_that_nobody_reads_ends_nothing(node: Node) -> None:
    go = node.root / "go"
    running = _started(node, go)
    with running.process as process:
        assert process.stderr is not None
        assert process.stdout is not None
        process.stderr.close()
        go.touch()
        assert process.wait(timeout=30) == 0
        assert json.loads(process.stdout.read())["interfaces"][0]["name"] == "eth0"
    assert node.ran() == ["ADD eth0", "ADD net1"]


def test_ADD_20_a_failure_that_nobody_reads_is_rolled_back_too(node: Node) -> None:
    go = node.root / "go"
    running = _started(node, go, error={"code": 100, "msg": "no"})
    for pipe in (running.process.stdout, running.process.stderr):
        assert pipe is not None
        pipe.close()
    go.touch()
    assert running.process.wait(timeout=30) == 1
    assert node.ran("DEL") == ["net1", "eth0"]
    assert node.left() == []


@pytest.mark.parametrize("verb", ["ADD", "DEL"])
@pytest.mark.parametrize("where", ["error", "stderr"])
def test_ADD_21_a_long_text_of_a_delegate_is_cut_wherever_it_is_told_and_says_so(
    node: Node, verb: str, where: str
) -> None:
    text = "the beginning " + "ü" * 30_000
    said = (
        {"error": {"code": 100, "msg": text, "details": text}}
        if where == "error"
        else {"stdout": " ", "stderr": text, "exit": 1}
    )
    log = node.root / "log"
    conf, pod = node.conf(stub(), logFile=str(log)), node.pod()
    if verb == "DEL":
        node.add(conf, pod).ok()
    node.answer(**{f"stub__{verb}": said})
    error = node.call(verb, conf, pod).error
    [failure] = node.failures()
    for told in (error, failure):
        for key in ("msg", "details"):
            assert len(told.get(key, "").encode()) <= TEXT_BYTES
        assert "the beginning ü" in told["msg"]
        assert told["msg"].endswith("… (cut to 4 KiB)")
    assert "(eth0)" in error["msg"]
    assert max(len(line) for line in log.read_text().splitlines()) < 3 * TEXT_BYTES
