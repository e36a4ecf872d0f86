"""The measurements as rows: one form for the file of results and for the tables that a person reads.

Owns what is compared with what, and every word of the output. Refuses to measure.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from bench import attaching, budgets, samples, tables, variants, versions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.agents import Measured
    from bench.building import Plugin
    from bench.bursts import Burst
    from bench.calls import Counted
    from bench.memory import Taken
    from bench.processes import Took

Row = dict[str, Any]
PLUGIN = "mooring"
BASE = "delegates"


def _row(taken: Sequence[Took]) -> Row:
    wall = [took.wall for took in taken]
    return {
        "wall": dataclasses.asdict(samples.Summary.of(wall)),
        "cpu": dataclasses.asdict(samples.Summary.of([took.cpu for took in taken])),
        "seconds": [round(value, 6) for value in wall],
    }


def version_rows(taken: Mapping[str, Sequence[Took]]) -> list[Row]:
    """Return a row for each program, with its ratio to the reference."""
    base = [took.wall for took in taken[versions.REFERENCE]]
    rows = []
    for label, each in taken.items():
        row = {"program": label, **_row(each), "ratio": samples.ratio([took.wall for took in each], base)}
        if label == PLUGIN:
            row["verdict"] = budgets.VERSION.verdict(row["ratio"])
        rows.append(row)
    return rows


def attachment_rows(taken: Mapping[attaching.Key, Sequence[Took]]) -> list[Row]:
    """Return a row for each number of networks, verb and contender, with what it is above the delegates (seconds)."""
    rows = []
    for verb in attaching.VERBS:
        for (count, label, of), each in taken.items():
            if of != verb:
                continue
            row = {"verb": verb, "networks": count, "contender": label, **_row(each)}
            if label != BASE:
                base = taken[count, BASE, verb]
                wall, under = [took.wall for took in each], [took.wall for took in base]
                row["above"] = _above(wall, under)
                row["leastAbove"] = samples.least_above(wall, under)
                row["cpuAbove"] = _above([took.cpu for took in each], [took.cpu for took in base])
                row["ratio"] = samples.ratio(wall, under)
                budget = budgets.overhead(verb, count)
                if label == PLUGIN and budget is not None:
                    above = row["above"]
                    middle = (above["lower"] * 1000, above["upper"] * 1000)
                    row["verdict"] = budget.verdict(above["median"] * 1000, middle=middle)
            rows.append(row)
    return rows


def _above(values: Sequence[float], base: Sequence[float]) -> Row:
    return dataclasses.asdict(samples.Summary.of(samples.above(values, base)))


def variant_rows(taken: Mapping[attaching.Key, Sequence[Took]]) -> list[Row]:
    """Return a row for each verb, number of networks and variant, with what it takes more than the plugin (seconds)."""
    rows = []
    for verb in attaching.VERBS:
        for (count, label, of), each in taken.items():
            if of != verb or label == variants.PLUGIN:
                continue
            base = taken[count, variants.PLUGIN, verb]
            rows.append(
                {
                    "verb": verb,
                    "delegates": count + 1,
                    "variant": label,
                    **_row(each),
                    "more": _above([took.wall for took in each], [took.wall for took in base]),
                    "leastMore": samples.least_above([took.wall for took in each], [took.wall for took in base]),
                    "cpuMore": _above([took.cpu for took in each], [took.cpu for took in base]),
                }
            )
    return rows


def burst_rows(bursts: Mapping[str, Burst]) -> list[Row]:
    """Return a row for each verb and contender; memory in KiB."""
    return [
        {
            "verb": verb,
            "contender": label,
            **_row(burst.taken[verb]),
            "largestKiB": burst.memory[verb].largest,
            "togetherKiB": burst.memory[verb].together,
        }
        for verb in attaching.VERBS
        for label, burst in bursts.items()
    ]


def call_rows(counted: Sequence[Counted]) -> list[Row]:
    """Return a row for each contender and case."""
    rows = []
    for each in counted:
        row: Row = dataclasses.asdict(each)
        if each.contender == PLUGIN:
            total = len(each.add) + len(each.delete)
            row["verdict"] = (budgets.CALLS if each.case == "cached" else budgets.FETCHES).verdict(total)
        rows.append(row)
    return rows


def memory_rows(taken: Sequence[Taken]) -> list[Row]:
    """Return a row for each annotation and verb; memory in KiB."""
    return [dataclasses.asdict(each) | {"verdict": budgets.MEMORY.verdict(each.kib / 1024)} for each in taken]


def agent_rows(found: Measured) -> list[Row]:
    """Return a row for each number of the agent: memory in MiB, processor time in percent, writes a minute."""
    rows: list[Row] = []
    for what, memory in found.memory.items():
        mebibytes = memory.resident / 1024
        row: Row = {"what": what, "unit": "MiB", "value": mebibytes, "own": memory.own / 1024}
        if what.startswith("idle"):
            row["verdict"] = budgets.AGENT_MEMORY.verdict(mebibytes)
        rows.append(row)
    percent = 100 * found.cpu / found.seconds
    heartbeats = [each for each in found.writes if each.startswith("patch") and "/nodestates/" in each]
    most = 1 + int(found.seconds // 240)  # one in five minutes, at the earliest after four
    others = len(found.writes) - min(len(heartbeats), most)
    rows.append({"what": "idle", "unit": "% of a core", "value": percent, "seconds": found.seconds})
    rows[-1]["verdict"] = budgets.AGENT_CPU.verdict(percent)
    rows.append({"what": "idle, writes beside heartbeats", "unit": "a minute", "value": 60 * others / found.seconds})
    rows[-1] |= {"writes": list(found.writes), "verdict": budgets.AGENT_WRITES.verdict(rows[-1]["value"])}
    return rows


def binary_row(plugin: Plugin) -> Row:
    """Return the size of the program."""
    return {"bytes": plugin.size, "verdict": budgets.BINARY.verdict(plugin.size / 1e6)}


def _span(summary: Row) -> list[str]:
    return [tables.milliseconds(summary[key]) for key in ("median", "least", "most")]


def text(results: Row) -> str:
    """Return all tables of a file of results."""
    parts = [_heading(results)]
    if "versions" in results:
        parts.append(_versions(results["versions"]))
    if "variants" in results:
        parts.append(_variants(results["variants"]))
    for part, delegates in (("own", "idle delegates"), ("attachments", "real delegates")):
        if part in results:
            parts += [_attachments(results[part], verb, delegates) for verb in attaching.VERBS]
    if "burst" in results:
        parts.append(_burst(results["burst"]))
    if "calls" in results:
        parts.append(_calls(results["calls"]))
    if "memory" in results:
        parts.append(_memory(results["memory"]))
    if "agent" in results:
        parts.append(_agent(results["agent"]))
    return "\n\n".join(parts)


def _heading(results: Row) -> str:
    facts, plugin, binary = results["facts"], results["plugin"], results["binary"]
    return (
        f"plugin {plugin['version']}, commit {plugin['commit']}, {facts['go']}, reference plugins"
        f" {facts['referencePlugins']}\n"
        f"Linux {facts['kernel']}, {facts['cpu']}, {facts['cores']} cores, {facts['fileSystem']},"
        f" fdatasync {facts['fdatasyncMilliseconds']} ms, load {facts['loadAverage']} at the start\n"
        f"binary {binary['bytes'] / 1e6:.2f} MB: {binary['verdict']}"
    )


def _versions(rows: Sequence[Row]) -> str:
    shown = [
        [
            row["program"],
            *_span(row["wall"]),
            tables.milliseconds(row["cpu"]["median"]),
            f"{row['ratio']:.2f}",
            row.get("verdict", ""),
        ]
        for row in rows
    ]
    header = ["VERSION (ms)", "median", "min", "max", "cpu", "x bridge", ""]
    return tables.text(header, shown)


def _attachments(rows: Sequence[Row], verb: str, delegates: str) -> str:
    shown = []
    for row in rows:
        if row["verb"] != verb:
            continue
        compared = "above" in row
        shown.append(
            [
                f"{row['networks']} extra, {row['contender']}",
                *_span(row["wall"]),
                tables.milliseconds(row["cpu"]["median"]),
                tables.signed(row["above"]["median"]) if compared else "",
                tables.between(row["above"]["lower"], row["above"]["upper"]) if compared else "",
                tables.signed(row["leastAbove"]) if compared else "",
                tables.signed(row["cpuAbove"]["median"]) if compared else "",
                f"{row['ratio']:.2f}" if compared else "",
                row.get("verdict", ""),
            ]
        )
    header = [
        f"{verb} (ms), {delegates}",
        "median",
        "min",
        "max",
        "cpu",
        "above",
        "middle half",
        "least above",
        "cpu above",
        "x delegates",
        "",
    ]
    return tables.text(header, shown)


def _variants(rows: Sequence[Row]) -> str:
    shown = [
        [
            f"{row['verb']}, {row['delegates']} delegates, {row['variant']}",
            tables.signed(row["more"]["median"]),
            tables.between(row["more"]["lower"], row["more"]["upper"]),
            tables.signed(row["leastMore"]),
            tables.signed(row["cpuMore"]["median"]),
            tables.signed(row["more"]["median"] / row["delegates"]),
            tables.signed(row["cpuMore"]["median"] / row["delegates"]),
            "",
        ]
        for row in rows
    ]
    header = ["more than the plugin (ms)", "median", "middle half", "least", "cpu", "each delegate", "cpu", ""]
    return tables.text(header, shown)


def _burst(burst: Row) -> str:
    shown = [
        [
            f"{row['verb']}, {row['contender']}",
            *_span(row["wall"]),
            tables.milliseconds(row["cpu"]["median"]),
            tables.mebibytes(row["largestKiB"]),
            tables.mebibytes(row["togetherKiB"]),
            "",
        ]
        for row in burst["rows"]
    ]
    title = f"{burst['pods']} pods at once, {burst['networks']} extra (ms)"
    return tables.text([title, "median", "min", "max", "cpu", "largest MiB", "together MiB", ""], shown)


def _calls(rows: Sequence[Row]) -> str:
    shown = [
        [
            f"{row['networks']} extra, {row['case']}, {row['contender']}",
            str(len(row["add"])),
            str(len(row["delete"])),
            row.get("verdict", ""),
        ]
        for row in rows
    ]
    return tables.text(["API calls", "ADD", "DEL", ""], shown)


def _memory(rows: Sequence[Row]) -> str:
    outcome = {("ADD", True): "attached", ("ADD", False): "refused", ("DEL", False): "undone"}
    shown = [
        [
            f"{row['verb']}, {row['annotation']}",
            tables.mebibytes(row["kib"]),
            outcome[row["verb"], row["attached"]],
            row["verdict"],
        ]
        for row in rows
    ]
    return tables.text(["largest annotations", "MiB", "", ""], shown)


def _agent(rows: Sequence[Row]) -> str:
    shown = [
        [
            row["what"],
            f"{row['value']:.2f}",
            f"{row['own']:.2f}" if "own" in row else "",
            row["unit"],
            row.get("verdict", ""),
        ]
        for row in rows
    ]
    return tables.text(["agent", "", "own pages", "", ""], shown)
