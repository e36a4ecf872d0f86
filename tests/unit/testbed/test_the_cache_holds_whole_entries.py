"""The cache of what was built."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from testbed import binaries, cache, failures


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOORING_TESTBED_CACHE", str(tmp_path / "cache"))


class TestPublishing:
    def test_an_entry_is_made_once(self) -> None:
        made: list[Path] = []
        folders = [cache.published("kind", "entry", made.append) for _ in range(2)]
        assert folders == [cache.root() / "kind" / "entry"] * 2
        assert len(made) == 1

    def test_a_failed_entry_is_absent(self) -> None:
        def fail(folder: Path) -> None:
            (folder / "half").write_text("")
            raise RuntimeError("no")

        with pytest.raises(RuntimeError):
            cache.published("kind", "entry", fail)
        assert list((cache.root() / "kind").iterdir()) == []


class TestKeys:
    def test_parts_do_not_run_into_each_other(self) -> None:
        assert cache.key("ab", "c") != cache.key("a", "bc")

    def test_a_file_s_bytes_name_and_executability_count(self, tmp_path: Path) -> None:
        file = tmp_path / "a"
        file.write_text("one")
        keys = {cache.files_key(tmp_path, [Path("a")])}
        file.chmod(0o755)
        keys.add(cache.files_key(tmp_path, [Path("a")]))
        file.write_text("two")
        keys.add(cache.files_key(tmp_path, [Path("a")]))
        file.rename(tmp_path / "b")
        keys.add(cache.files_key(tmp_path, [Path("b")]))
        assert len(keys) == 4

    def test_the_folder_can_be_chosen(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("MOORING_TESTBED_CACHE")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert cache.root() == tmp_path / "mooring-testbed"


class TestPinnedVersions:
    @pytest.mark.parametrize(
        "part",
        [
            binaries.KUBERNETES,
            binaries.CONTAINERD,
            binaries.CNI_PLUGINS,
            binaries.OLDEST_KUBERNETES,
            binaries.OLDEST_CONTAINERD,
            binaries.PROMETHEUS,
            binaries.HELM_3,
            binaries.HELM_4,
        ],
        ids=lambda part: f"{part.pinned}-{part.modfile}",
    )
    def test_every_part_pins_what_it_builds(self, part: binaries.Part) -> None:
        assert binaries.version(part)[0].isdigit()

    def test_the_oldest_versions_are_those_that_the_readme_promises(self) -> None:
        readme = (Path(binaries.__file__).parents[2] / "README.md").read_text()
        promised = re.search(r"Kubernetes >= ([0-9.]+) with containerd >= ([0-9.]+)", readme)
        assert promised
        versions = [binaries.version(part) for part in (binaries.OLDEST_KUBERNETES, binaries.OLDEST_CONTAINERD)]
        assert versions == [f"{each}.0" for each in promised.groups()]

    def test_only_two_words_choose_versions(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for word, oldest in (("newest", False), ("oldest", True)):
            monkeypatch.setenv("MOORING_TESTBED_VERSIONS", word)
            assert binaries.oldest() is oldest
        monkeypatch.setenv("MOORING_TESTBED_VERSIONS", "1.33")
        with pytest.raises(failures.Failure, match="write newest or oldest"):
            binaries.oldest()

    def test_an_absent_module_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="does not require"):
            binaries.pinned_version("module x\n", "example.com/absent")
