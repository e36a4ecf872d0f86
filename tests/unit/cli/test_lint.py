"""`mooring lint` tells in a shell what admission would tell at apply."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from mooring.cli.main import main
from mooring.rules import catalogue

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def test_the_broken_example_is_refused_with_all_its_mistakes_and_their_places(
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = EXAMPLES / "broken-network.yaml"
    assert main(["lint", str(path)]) == 1
    printed = capsys.readouterr().out
    assert printed.count(": Enforce MR") == 3
    assert f"{path}:15:" in printed  # the line of `vlan` in the file, not in the text of the configuration
    assert "1 object in 1 file judged: 1 to be refused, 0 with a warning (3 findings)" in printed


def test_a_folder_is_searched_for_manifests(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", str(EXAMPLES)]) == 1
    printed = capsys.readouterr().out
    assert "broken-network.yaml" in printed
    assert "bridge-networks.yaml:" not in printed


def test_warnings_fail_only_where_that_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (EXAMPLES / "bridge-networks.yaml").read_text().replace('"bridge": "br-storage"', '"bridg": "br-storage"')
    path = tmp_path / "typo.yaml"
    path.write_text(text)
    assert main(["lint", str(path)]) == 0
    assert main(["lint", "--strict", str(path)]) == 1
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert main(["lint", "--strict", "-"]) == 1
    assert "Warn MR" in capsys.readouterr().out


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [")
    assert main(["lint", str(tmp_path / "absent.yaml"), str(broken), str(EXAMPLES / "bridge-networks.yaml")]) == 2
    captured = capsys.readouterr()
    assert "absent.yaml" in captured.err
    assert "broken.yaml" in captured.err
    assert "4 objects in 1 file judged" in captured.out


def test_no_object_at_all_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert "no file in it ends in .yaml" in captured.out
    assert "no object was judged" in captured.err
    assert main(["lint", "--allow-empty", str(tmp_path)]) == 0


def test_a_charts_templates_are_skipped_with_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    templates = tmp_path / "chart" / "templates"
    templates.mkdir(parents=True)
    (tmp_path / "chart" / "Chart.yaml").write_text("name: chart\n")
    (templates / "one.yaml").write_text("{{- if .Values.a }}\na: [\n{{- end }}\n")
    (templates / "two.yaml").write_text((EXAMPLES / "broken-network.yaml").read_text())
    (tmp_path / "good.yaml").write_text((EXAMPLES / "bridge-networks.yaml").read_text())
    assert main(["lint", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("a template that Helm expands") == 2
    assert main(["lint", "--allow-empty", str(templates / "two.yaml")]) == 0


def test_a_file_that_is_named_twice_is_judged_once(capsys: pytest.CaptureFixture[str]) -> None:
    main(["lint", str(EXAMPLES / "bridge-networks.yaml"), str(EXAMPLES / "../examples/bridge-networks.yaml")])
    assert "4 objects in 1 file judged" in capsys.readouterr().out


def test_rules_are_chosen_and_weighed(capsys: pytest.CaptureFixture[str]) -> None:
    broken = str(EXAMPLES / "broken-network.yaml")
    assert main(["lint", broken, "--select", "MR3"]) == 1
    assert "(1 finding, 2 of ignored rules not shown)" in capsys.readouterr().out
    assert main(["lint", broken, "--ignore", "MR12,MR3"]) == 0
    assert main(["lint", broken, "--severity", "MR120=Warn", "--ignore", "MR121,MR302"]) == 0
    assert main(["lint", broken, "--severity", "MR120=Warn", "--ignore", "MR121,MR302", "--strict"]) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--select", "MR7"], "--select: MR7 is no rule"),
        (["--severity", "MR120"], "MR120 is not CODE=SEVERITY"),
        (["--severity", "MR120=Off"], "MR120 is Off"),
        (["--config", "/absent.toml"], "/absent.toml: "),
    ],
)
def test_an_option_that_means_nothing_is_told(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lint", str(EXAMPLES), *options]) == 2
    assert said in capsys.readouterr().err


def test_the_nearest_settings_are_taken_and_the_command_line_adds_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = str(EXAMPLES / "broken-network.yaml")
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".mooring.toml").write_text('ignore = ["MR12"]\n')
    (tmp_path / "a" / "pyproject.toml").write_text("[tool.other]\n")
    monkeypatch.chdir(inner)
    assert main(["lint", broken]) == 1
    assert main(["lint", broken, "--ignore", "MR302"]) == 0
    (tmp_path / "a" / ".mooring.toml").write_text('exclude = ["broken-*"]\n')
    assert main(["lint", "--allow-empty", broken]) == 0
    assert "the settings exclude it" in capsys.readouterr().out
    assert main(["lint", broken, "--config", str(tmp_path / ".mooring.toml")]) == 1
    assert main(["lint", broken, "--config", str(tmp_path / "a" / "pyproject.toml")]) == 2


@pytest.mark.parametrize("output", ["json", "sarif"])
def test_a_document_is_all_that_is_printed(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", str(EXAMPLES), "--output", output]) == 1
    assert json.loads(capsys.readouterr().out)["version"]


def test_a_workflow_gets_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", str(EXAMPLES), "--output", "github"]) == 1
    assert capsys.readouterr().out.count("::error file=") == 3


def test_the_rules_are_listed_and_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules"]) == 0
    assert capsys.readouterr().out.count("\n") == len(catalogue.RULES)
    assert main(["rules", "MR3"]) == 0
    assert "MR110" not in capsys.readouterr().out
    assert main(["rules", "MR110"]) == 0
    explained = capsys.readouterr().out
    assert explained.startswith("MR110: An option that the plugin does not read\n")
    assert "--severity MR110=" in explained
    assert main(["rules", "MR101"]) == 0
    assert "always" in capsys.readouterr().out
    assert main(["rules", "MR999"]) == 2
    assert "MR999 is no rule" in capsys.readouterr().err
