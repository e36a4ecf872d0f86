"""A team says once which rules matter for its manifests."""

from __future__ import annotations

import pytest

from mooring.linting import settings
from mooring.linting.settings import Settings
from mooring.rules.findings import Severity


def test_settings_are_read_from_a_file_of_their_own_and_from_pyproject() -> None:
    own = 'select = ["MR1"]\nignore = ["MR116"]\nexclude = ["old/*"]\nstrict = true\n[severities]\nMR110 = "Enforce"\n'
    expected = Settings(("MR1",), ("MR116",), {"MR110": Severity.ENFORCE}, ("old/*",), True)
    assert settings.read(own, name="a/.mooring.toml") == expected
    inside = "[tool.mooring.lint]\n" + own.replace("[severities]", "[tool.mooring.lint.severities]")
    assert settings.read(inside, name="pyproject.toml") == expected


def test_a_pyproject_of_somebody_else_has_no_settings() -> None:
    assert settings.read("[tool.other]\na = 1\n", name="x/pyproject.toml") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = [", "not TOML"),
        ("selct = []", "selct is no setting; there are select"),
        ('select = "MR1"', "select is a list"),
        ("strict = 1", "strict is true or false"),
        ("severities = []", "severities is a table"),
        ('severities = {MR999 = "Warn"}', "MR999 is no rule"),
        ('severities = {MR110 = "warn"}', "MR110 is warn; write Enforce, Warn or Audit"),
        ('severities = {MR101 = "Warn"}', "the severity of MR101 cannot be changed"),
        ('ignore = ["MR11O"]', "MR11O is no rule. `mooring rules` lists them."),
        ('ignore = ["MR101"]', "MR101 is always told"),
        ('ignore = ["X"]', "X is no rule."),
    ],
)
def test_a_setting_that_is_none_is_told_with_what_to_write(text: str, said: str) -> None:
    with pytest.raises(settings.SettingsError) as caught:
        settings.read(text, name=".mooring.toml")
    assert str(caught.value).startswith(".mooring.toml: ")
    assert said in str(caught.value)


def test_a_table_of_ours_that_is_none_is_told() -> None:
    with pytest.raises(settings.SettingsError, match="is not a table"):
        settings.read("[tool.mooring]\nlint = 1\n", name="pyproject.toml")


@pytest.mark.parametrize(
    ("select", "ignore", "code", "told"),
    [
        ((), (), "MR110", True),
        (("MR3",), (), "MR110", False),
        (("MR1",), (), "MR110", True),
        ((), ("MR1",), "MR110", False),
        (("MR110",), ("MR1",), "MR110", True),
        (("MR1",), ("MR110",), "MR110", False),
        (("MR110",), ("MR110",), "MR110", False),
        (("MR3",), (), "MR101", True),
        ((), ("MR",), "MR101", True),
    ],
)
def test_the_longer_choice_decides_and_what_nothing_can_read_is_always_told(
    select: tuple[str, ...], ignore: tuple[str, ...], code: str, told: bool
) -> None:
    assert Settings(select=select, ignore=ignore).tells(code) is told


def test_patterns_exclude_paths_anywhere() -> None:
    chosen = Settings(exclude=("vendor/*", "*.json"))
    assert chosen.excludes("vendor/a.yaml")
    assert chosen.excludes("deploy/vendor/a/b.yaml")
    assert chosen.excludes("a/b.json")
    assert not chosen.excludes("a/vendored.yaml")
