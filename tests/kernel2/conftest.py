"""One run of the driver on each kernel that it takes: this machine's for what that has link types for, else the second.

MOORING_PLUGIN names a plugin to test instead of the one that these sources build; MOORING_KERNEL=this or =second
tries everything there.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from testbed import binaries, failures, plugin
from testbed.kernel2 import linktypes, places
from tests.kernel2 import delegates, reports

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "ipvlan-on-bond.yaml"
ANNOTATION = "k8s.v1.cni.cncf.io/networks"
# All of it takes a minute on an idle machine with two cores; a busy one may take its time.
LIMIT = 600.0
_REPORT = pytest.StashKey[reports.Report]()
_TABLE = pytest.StashKey[list[str]]()
# The driver's modules are found in the checkout, which need not be installed.
_CODE = """import pathlib, sys
sys.path.insert(0, sys.argv[1])
from tests.kernel2 import driver
driver.main(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))
"""


@pytest.fixture(scope="session")
def example() -> dict[str, Any]:
    """The conf list of the example's network, and the annotation of its pod."""
    network, pod = yaml.safe_load_all(EXAMPLE.read_text())
    if network["metadata"]["name"] != delegates.EXAMPLE:
        pytest.fail(f"{EXAMPLE}: the first document is not the network {delegates.EXAMPLE}", pytrace=False)
    config = json.loads(network["spec"]["config"])
    return {"config": config, "annotation": pod["metadata"]["annotations"][ANNOTATION]}


@pytest.fixture(scope="session")
def report(
    example: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> reports.Report:
    """What the driver found of the cases that are asked for."""
    ours = (item for item in request.session.items if item.path.parent == Path(__file__).parent)
    callspecs = [getattr(item, "callspec", None) for item in ours]
    cases = {spec.params["delegate"] for spec in callspecs if spec and "delegate" in spec.params}
    try:
        asked = {"plugin": str(_plugin(tmp_path_factory)), "reference": str(binaries.cni_plugins()), "example": example}
        found = _tried({one.name: one for one in _all() if one.name in cases}, asked, tmp_path_factory)
    except failures.Failure as failure:
        pytest.fail(str(failure), pytrace=False)
    request.config.stash[_REPORT] = found
    return found


def _tried(
    cases: Mapping[str, delegates.Delegate], asked: dict[str, Any], folders: pytest.TempPathFactory
) -> reports.Report:
    own = linktypes.present(linktypes.RECIPES)
    chosen = os.environ.get("MOORING_KERNEL", "")
    if chosen not in ("", "this", "second"):
        raise failures.Failure(f"MOORING_KERNEL={chosen}: it is `this` or `second`")
    here = [name for name, one in cases.items() if chosen == "this" or (not chosen and one.types <= own)]
    there = [name for name in cases if name not in here]
    kernels: dict[str, frozenset[str]] = {}
    runs: dict[str, reports.Run] = {}
    for place, names in ((places.directly, here), (places.second, there)):
        if names:
            types, run = _run(place, asked | {"cases": names}, folders.mktemp("kernel2"))
            kernels[run.where] = types
            runs |= dict.fromkeys((name for name in names if cases[name].types <= types), run)
    if there and not chosen:
        kernels = {places.here(): own} | kernels
    return reports.Report(kernels=kernels, runs=runs)


def _run(place: places.Place, asked: dict[str, Any], exchange: Path) -> tuple[frozenset[str], reports.Run]:
    request, results = exchange / "request.json", exchange / "results.jsonl"
    request.write_text(json.dumps(asked))
    ran = place([sys.executable, "-B", "-c", _CODE, ROOT, request, results], exchange, limit=LIMIT)
    types, entries = reports.read(results.read_text() if results.exists() else "")
    if not types:
        raise failures.with_log(f"the driver found no link types on {ran.where}", ran.output)
    log = ran.output.read_text(errors="replace")
    return types, reports.Run(where=ran.where, seconds=ran.seconds, entries=entries, log=log)


def _plugin(folders: pytest.TempPathFactory) -> Path:
    chosen = os.environ.get("MOORING_PLUGIN")
    if chosen:
        return Path(chosen).absolute()
    return plugin.build(folders.mktemp("plugin"))


def _all() -> tuple[delegates.Delegate, ...]:
    return (*delegates.DELEGATES, delegates.end_to_end({}))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Make the table of delegates and their verbs, and hand it over where this is a worker."""
    found = session.config.stash.get(_REPORT, None)
    if found is None:
        return
    cases = {one.name: one.verbs for one in _all()}
    lines = list(reports.table(found, cases, {one.name: tuple(one.faults) for one in _all()}))
    session.config.stash[_TABLE] = lines
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["delegates"] = lines


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take a worker's table."""
    lines = getattr(node, "workeroutput", {}).get("delegates")
    if lines:
        node.config.stash[_TABLE] = lines


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print each delegate with its verbs."""
    lines = config.stash.get(_TABLE, None)
    if lines:
        terminalreporter.section("delegates and their verbs")
        for line in lines:
            terminalreporter.write_line(line)
