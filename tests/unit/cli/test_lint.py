"""`mooring lint` tells in a shell what admission would tell at apply."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from mooring.cli.main import main

if TYPE_CHECKING:
    import pytest

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def test_the_broken_example_is_refused_with_all_its_mistakes_and_their_places(
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = EXAMPLES / "broken-network.yaml"
    assert main(["lint", str(path)]) == 1
    printed = capsys.readouterr().out
    assert printed.count(": Enforce MR") == 3
    assert f"{path}:15:" in printed  # the line of `vlan` in the file, not in the text of the configuration
    assert "1 object judged: 3 to be refused, 0 with a warning" in printed


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
    assert "4 objects judged" in captured.out
