"""The command: what is measured in which order, and where the results go. Refuses to measure anything itself."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import gc
import json
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench import (
    agents,
    attaching,
    building,
    bursts,
    calls,
    contenders,
    facts,
    memory,
    networks,
    node,
    report,
    variants,
    versions,
)
from testbed import controlplane, failures, machine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.building import Plugin
    from bench.node import Node
    from bench.report import Row

PARTS = ("version", "own", "variants", "attach", "burst", "calls", "memory", "agent")
BURST_NETWORKS = 1
VERSION_FACTOR = 5  # a start is short: more rounds cost little
REAL_FACTOR = 3  # removing links takes as long as the kernel's clock says: more rounds are needed
FOLDER = Path("/var/tmp")  # noqa: S108 - what is made in it has a name of its own; /tmp is often in memory
NOWHERE = "https://127.0.0.1:1"
RESULTS = Path(__file__).parent / "results"


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure what the meta-plugin and the agent cost."
    )
    parser.add_argument("--rounds", type=int, default=20, help="rounds that count (20)")
    parser.add_argument("--warm-up", type=int, default=3, help="rounds before that do not (3)")
    parser.add_argument(
        "--variant-rounds", type=int, default=variants.ROUNDS, help="rounds of variants that count (200)"
    )
    parser.add_argument("--networks", type=numbers, default=[0, 1, 2, 4, 8], help="extra networks (0,1,2,4,8)")
    parser.add_argument("--burst", type=int, default=50, help="pods at once (50)")
    parser.add_argument("--burst-rounds", type=int, default=5, help="bursts that count (5)")
    parser.add_argument("--idle", type=float, default=660, help="seconds for which the idle agent is watched (660)")
    parser.add_argument("--only", type=parts, default=PARTS, help=f"parts, of {','.join(PARTS)} (all)")
    parser.add_argument("--plugin", type=Path, help="measure this binary instead of building plugin/")
    parser.add_argument("--other", type=Path, action="append", default=[], help="a further meta-plugin to measure")
    parser.add_argument("--other-conf", type=Path, action="append", default=[], help="its configuration")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where state is kept; a disk (/var/tmp)")
    parser.add_argument("--note", default="", help="a remark for the results")
    parser.add_argument("--no-file", action="store_true", help="keep no file in bench/results")
    options = parser.parse_args(words)
    if len(options.other) != len(options.other_conf):
        parser.error("every --other needs its --other-conf")
    if min(options.rounds, options.burst, options.burst_rounds, options.warm_up, options.variant_rounds) < 1:
        parser.error("rounds and pods must be at least 1")
    return options


def numbers(text: str) -> list[int]:
    """Read numbers with commas between, from 0 to 200 (each network has a subnet of its own)."""
    found = sorted({int(word) for word in text.split(",")})
    if found[0] < 0 or found[-1] > 200:
        raise argparse.ArgumentTypeError("from 0 to 200")
    return found


def parts(text: str) -> tuple[str, ...]:
    """Read names of parts with commas between."""
    found = tuple(text.split(","))
    if not set(found) <= set(PARTS):
        raise argparse.ArgumentTypeError(f"of {', '.join(PARTS)}")
    return found


class Bench:
    """One run."""

    def __init__(self, options: argparse.Namespace, place: Node, plugin: Plugin) -> None:
        self._options = options
        self._place = place
        self._plugin = plugin

    def run(self, stack: contextlib.ExitStack) -> Row:
        """Measure and return the results. Raises Failure where something cannot be measured."""
        chosen, options = self._options.only, self._options
        results: Row = {"version": 1, "date": _now(), "note": options.note, "command": self._command()}
        results["facts"] = facts.gathered(self._place.folder)
        results["plugin"] = {"version": self._plugin.version, "commit": self._plugin.commit}
        results["binary"] = report.binary_row(self._plugin)
        # A running API server is noise: it is there while times are taken only for those who need it.
        cluster = self._cluster(stack) if options.other else None
        metas = self._metas(self._place, cluster)
        everyone: list[contenders.Contender] = [contenders.Direct(self._place), *metas]
        pod = cluster.pod if cluster else attaching.anyone
        if "version" in chosen:
            programs = {versions.REFERENCE: self._place.programs / versions.REFERENCE}
            programs |= {each.label: each.program for each in metas}
            rounds = options.rounds * VERSION_FACTOR
            taken = versions.measured(programs, rounds=rounds, warm_up=options.warm_up)
            results["versions"] = report.version_rows(taken)
        idle = dataclasses.replace(self._place, programs=building.nothing(self._place.folder))
        if "own" in chosen:
            owns = attaching.measured(
                idle,
                [contenders.Direct(idle), *self._metas(idle, cluster)],
                counts=options.networks,
                rounds=options.rounds,
                warm_up=options.warm_up,
                pod=pod,
                real=False,
            )
            results["own"] = report.attachment_rows(owns)
        if "variants" in chosen:
            programs = {variants.PLUGIN: self._plugin.path}
            for number, each in enumerate(variants.VARIANTS):
                programs[each.label] = variants.built(each, self._place.folder / f"variant-{number}")
            compared = variants.measured(
                idle, programs, self._variant, rounds=options.variant_rounds, warm_up=options.warm_up
            )
            results["variants"] = report.variant_rows(compared)
        if "attach" in chosen:
            walls = attaching.measured(
                self._place,
                everyone,
                counts=options.networks,
                rounds=options.rounds * REAL_FACTOR,
                warm_up=options.warm_up,
                pod=pod,
            )
            results["attachments"] = report.attachment_rows(walls)
        if "burst" in chosen:
            found = bursts.measured(self._place, everyone, count=BURST_NETWORKS, rounds=options.burst_rounds, pod=pod)
            rows = report.burst_rows(found)
            results["burst"] = {"pods": options.burst, "networks": BURST_NETWORKS, "rows": rows}
        if "calls" in chosen:
            if cluster is None:
                cluster = self._cluster(stack)
                metas = self._metas(self._place, cluster)
            counted = calls.measured(cluster, self._place, metas, counts=options.networks)
            results["calls"] = report.call_rows(counted)
        if "memory" in chosen:
            state = self._place.state("memory")
            idle = dataclasses.replace(self._place, programs=building.nothing(state))
            largest = memory.measured(idle, self._plugin.path, state, networks.default(self._place.addresses))
            results["memory"] = report.memory_rows(largest)
        if "agent" in chosen:
            with controlplane.running() as plane:
                cost = agents.measured(plane, self._place.state("agent"), idle_seconds=options.idle)
            results["agent"] = report.agent_rows(cost)
        return results

    def _command(self) -> str:
        """Return the numbers of this run as options, without anybody's paths."""
        options = self._options
        words = [f"--rounds={options.rounds}", f"--warm-up={options.warm_up}", f"--burst={options.burst}"]
        words += [f"--burst-rounds={options.burst_rounds}", f"--networks={','.join(map(str, options.networks))}"]
        words += [f"--variant-rounds={options.variant_rounds}"]
        words += [f"--other={path.name}" for path in options.other]
        return shlex.join(words)

    def _cluster(self, stack: contextlib.ExitStack) -> calls.Cluster:
        plane = stack.enter_context(controlplane.running())
        return calls.Cluster(plane, self._place, counts=self._options.networks, burst=self._options.burst)

    def _variant(self, place: Node, label: str, program: Path) -> contenders.Meta:
        state = place.state(label)
        place.cache(state, max(variants.COUNTS))
        delegate = networks.default(place.addresses)
        kubeconfig = _kubeconfig(place.folder / "kubeconfig")
        conf = networks.mooring(delegate=delegate, programs=place.programs, state=state, kubeconfig=kubeconfig)
        return contenders.Meta(place, label, program, conf, cached=state)

    def _metas(self, place: Node, cluster: calls.Cluster | None) -> list[contenders.Meta]:
        state = place.state(report.PLUGIN)
        place.cache(state, max(*self._options.networks, BURST_NETWORKS))
        kubeconfig = cluster.kubeconfig(report.PLUGIN) if cluster else _kubeconfig(place.folder / "kubeconfig")
        delegate = networks.default(place.addresses)
        conf = networks.mooring(delegate=delegate, programs=place.programs, state=state, kubeconfig=kubeconfig)
        metas = [contenders.Meta(place, report.PLUGIN, self._plugin.path, conf, cached=state)]
        for number, (program, file) in enumerate(zip(self._options.other, self._options.other_conf, strict=True)):
            label = program.name if program.name not in {each.label for each in metas} else f"{program.name}-{number}"
            other = place.state(label)
            place.cache(other, max(*self._options.networks, BURST_NETWORKS))
            folder = other / "confs"
            folder.mkdir(exist_ok=True)
            (folder / "10-default.conflist").write_text(json.dumps(delegate))
            places = {
                "BINDIR": str(place.programs),
                "CONFDIR": str(folder),
                "STATE": str(other),
                "DELEGATE": json.dumps(delegate),
                "KUBECONFIG": str(cluster.kubeconfig(label) if cluster else kubeconfig),
            }
            parsed = contenders.other_conf(file.read_text(), places)
            metas.append(
                contenders.Meta(place, label, node.copied(program, other / program.name), parsed, cached=other)
            )
        return metas


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _kubeconfig(path: Path) -> Path:
    """Write a kubeconfig of an API server that does not answer: with a fresh cache nobody asks it."""
    cluster = {"name": "bench", "cluster": {"server": NOWHERE}}
    context = {"name": "bench", "context": {"cluster": "bench", "user": "bench"}}
    config = {"current-context": "bench", "clusters": [cluster], "contexts": [context], "users": [{"name": "bench"}]}
    path.write_text(json.dumps(config))
    return path


def keep(results: Row) -> Path:
    """Write results into a file named after date and machine, and return it."""
    RESULTS.mkdir(exist_ok=True)
    day = results["date"].replace(":", "").removesuffix("Z")[:15]
    path = RESULTS / f"{day}-{facts.slug(results['facts'])}.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    return path


def main() -> int:
    """Measure, print, keep. Exit status 1 only where something could not be measured."""
    options = arguments()
    # The end of this process must not leave namespaces behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        machine.require_root("the benchmark")
        with contextlib.ExitStack() as stack:
            place = stack.enter_context(node.made(pods=options.burst, parent=options.folder))
            plugin = building.given(options.plugin, place.folder) if options.plugin else building.built(place.folder)
            gc.disable()  # a collection in the middle of a measurement is noise
            results = Bench(options, place, plugin).run(stack)
    except failures.Failure as failure:
        print(f"could not measure: {failure}", file=sys.stderr)
        return 1
    print(report.text(results))
    if not options.no_file:
        path = keep(results)
        print(f"\nkept in {path.relative_to(building.CHECKOUT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
