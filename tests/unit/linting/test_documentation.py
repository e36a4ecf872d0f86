"""docs/lint.md shows what really is printed, and the hook and the examples are what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from mooring.cli.main import build_parser, main
from mooring.linting import settings

ROOT = Path(__file__).resolve().parents[3]
GUIDE = (ROOT / "docs" / "lint.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"```console\n\$ mooring (.*?)\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.parametrize(("command", "output"), SHOWN, ids=[command for command, _ in SHOWN])
def test_what_the_guide_shows_is_printed(
    command: str, output: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    main(shlex.split(command))
    assert capsys.readouterr().out == output


def test_the_settings_in_the_guide_are_settings() -> None:
    (shown,) = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
    assert settings.read(shown, name=".mooring.toml") is not None


def test_the_hook_for_pre_commit_is_a_command_that_there_is() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    program, *arguments = shlex.split(hook["entry"])
    assert program == "mooring"
    options = build_parser().parse_args([*arguments, "a.yaml"])
    assert options.command == "lint"
    assert options.allow_empty
    assert hook["require_serial"] is True
    assert {"id", "name", "language"} <= set(hook)
    assert "id: " + hook["id"] in GUIDE


def test_all_examples_but_the_broken_one_are_clean(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    names = [str(path) for path in sorted(Path("examples").glob("*.yaml")) if path.name != "broken-network.yaml"]
    assert names
    assert main(["lint", "--strict", *names]) == 0
    assert " 0 to be refused, 0 with a warning" in capsys.readouterr().out
