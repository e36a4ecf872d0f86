"""One run of the driver for all tests: on this machine's kernel where that has every link type, else in the second.

MOORING_PLUGIN names a plugin to test instead of the one that these sources build; MOORING_KERNEL=this or =second
chooses the kernel.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed import binaries, commands, failures
from testbed.kernel2 import linktypes, places
from tests.kernel2 import delegates, reports

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "ipvlan-on-bond.yaml"
ANNOTATION = "k8s.v1.cni.cncf.io/networks"
# All of it takes about a minute on an idle machine with two cores.
LIMIT = 400.0
_REPORT = pytest.StashKey[reports.Report]()
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
    callspecs = [getattr(item, "callspec", None) for item in request.session.items]
    cases = {spec.params["delegate"].name for spec in callspecs if spec and "delegate" in spec.params}
    if any(spec and "step" in spec.params for spec in callspecs):
        cases.add(delegates.EXAMPLE)
    exchange = tmp_path_factory.mktemp("kernel2")
    try:
        plugin = _plugin(exchange)
        reference = binaries.cni_plugins()
        asked: dict[str, Any] = {
            "plugin": str(plugin),
            "reference": str(reference),
            "example": example,
            "cases": sorted(cases),
        }
        (exchange / "request.json").write_text(json.dumps(asked))
        own = linktypes.present(linktypes.RECIPES)
        ran = _run(own, exchange)
    except failures.Failure as failure:
        pytest.fail(str(failure), pytrace=False)
    results = exchange / "results.jsonl"
    types, entries = reports.read(results.read_text() if results.exists() else "")
    log = ran.output.read_text(errors="replace")
    found = reports.Report(where=ran.where, seconds=ran.seconds, types=types, own=own, entries=entries, log=log)
    request.config.stash[_REPORT] = found
    if not types:
        pytest.fail(f"the driver found no link types on {ran.where}; it printed:\n{log}", pytrace=False)
    return found


def _run(own: frozenset[str], exchange: Path) -> places.Ran:
    driver: list[str | Path] = [
        sys.executable,
        "-B",
        "-c",
        _CODE,
        ROOT,
        exchange / "request.json",
        exchange / "results.jsonl",
    ]
    chosen = os.environ.get("MOORING_KERNEL") or ("this" if own >= set(linktypes.RECIPES) else "second")
    if chosen == "this":
        return places.directly(driver, exchange, limit=LIMIT)
    if chosen == "second":
        return places.second(driver, exchange, limit=LIMIT, modules=["ipv6"])
    raise failures.Failure(f"MOORING_KERNEL={chosen}: it is `this` or `second`")


def _plugin(folder: Path) -> Path:
    chosen = os.environ.get("MOORING_PLUGIN")
    if chosen:
        return Path(chosen).absolute()
    built = folder / "mooring"
    commands.run(
        ["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", built, "."],
        cwd=ROOT / "plugin",
        environment={"CGO_ENABLED": "0"},
    )
    return built


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print each delegate with its verbs."""
    found = config.stash.get(_REPORT, None)
    if found is None:
        return
    cases = {one.name: one.verbs for one in delegates.DELEGATES} | {delegates.EXAMPLE: tuple(delegates.END_TO_END)}
    faults = {one.name: tuple(one.faults) for one in (*delegates.DELEGATES, delegates.end_to_end({}))}
    terminalreporter.section("delegates and their verbs")
    for line in reports.table(found, cases, faults):
        terminalreporter.write_line(line)
