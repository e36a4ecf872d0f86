"""Rows and tables made of measurements."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import building, bursts, calls, report
from bench.processes import Took

if TYPE_CHECKING:
    from collections.abc import Sequence


def took(*milliseconds: float) -> Sequence[Took]:
    return [Took(each / 1000, each / 2000) for each in milliseconds]


def attachments() -> list[dict[str, Any]]:
    taken = {(1, "delegates", verb): took(30, 40, 31) for verb in ("ADD", "DEL")}
    taken |= {(1, "mooring", "ADD"): took(32, 42, 90), (1, "mooring", "DEL"): took(34, 45, 36)}
    return report.attachment_rows(taken)


def test_overhead_is_the_median_of_the_differences_of_the_rounds() -> None:
    row = next(row for row in attachments() if row["contender"] == "mooring" and row["verb"] == "ADD")
    assert round(row["above"]["median"] * 1000, 6) == 2
    assert row["seconds"] == [0.032, 0.042, 0.09]


def test_each_verb_has_its_own_verdict() -> None:
    rows = [row for row in attachments() if "verdict" in row]
    assert [(row["verb"], row["verdict"]) for row in rows] == [
        ("ADD", "within budget (3 ms), unsure"),
        ("DEL", "above budget (3 ms)"),
    ]


def test_a_version_is_compared_with_the_reference() -> None:
    rows = report.version_rows({"bridge": took(2, 2), "mooring": took(2.2, 2.2), "other": took(8, 8)})
    assert [round(row["ratio"], 2) for row in rows] == [1.0, 1.1, 4.0]
    assert [row.get("verdict") for row in rows] == [None, "within budget (1.15 x bridge)", None]


def test_a_variant_is_compared_with_the_plugin_of_the_same_round() -> None:
    taken = {(4, "mooring", verb): took(20, 30, 21) for verb in ("ADD", "DEL")}
    taken |= {(4, "gjson", "ADD"): took(22, 31, 26), (4, "gjson", "DEL"): took(19, 29, 20)}
    rows = report.variant_rows(taken)
    assert [(row["verb"], row["variant"], row["delegates"]) for row in rows] == [
        ("ADD", "gjson", 5),
        ("DEL", "gjson", 5),
    ]
    assert [round(row["more"]["median"] * 1000, 6) for row in rows] == [2, -1]
    assert [round(row["leastMore"] * 1000, 6) for row in rows] == [2, -1]


def test_calls_of_a_cached_and_of_an_unknown_definition_have_different_budgets() -> None:
    rows = report.call_rows(
        [
            calls.Counted("mooring", "cached", 1, ("get /a",), ()),
            calls.Counted("mooring", "not cached", 1, ("get /a",), ()),
            calls.Counted("other", "cached", 1, ("get /a", "get /b"), ("get /c",)),
        ]
    )
    assert [row.get("verdict") for row in rows] == ["above budget (0 API calls)", "within budget (1 GET)", None]


def test_everything_is_in_the_text() -> None:
    burst = bursts.Burst(
        {"ADD": list(took(500)), "DEL": list(took(400))},
        {"ADD": bursts.Memory(8192, 51200), "DEL": bursts.Memory(8000, 40960)},
    )
    facts = dict.fromkeys(
        ("go", "referencePlugins", "kernel", "cpu", "cores", "fileSystem", "fdatasyncMilliseconds", "loadAverage"), "?"
    )
    shown = report.text(
        {
            "facts": facts,
            "plugin": {"version": "0.1.0", "commit": "abc"},
            "binary": report.binary_row(building.Plugin(Path("/mooring"), "0.1.0", "abc", 8_000_000)),
            "versions": report.version_rows({"bridge": took(2), "mooring": took(2)}),
            "own": attachments(),
            "variants": report.variant_rows(
                {(0, "mooring", "ADD"): took(3), (0, "gjson", "ADD"): took(4)} | {(0, "mooring", "DEL"): took(3)}
            ),
            "attachments": attachments(),
            "burst": {"pods": 50, "networks": 1, "rows": report.burst_rows({"mooring": burst})},
            "calls": report.call_rows([calls.Counted("mooring", "cached", 1, (), ())]),
        }
    )
    assert "binary 8.00 MB: within budget (9 MB)" in shown
    assert "ADD (ms), idle delegates" in shown
    assert "ADD, 1 delegates, gjson" in shown
    assert "DEL (ms), real delegates" in shown
    assert "50 pods at once" in shown
    assert "1 extra, cached, mooring    0    0  within budget (0 API calls)" in shown
