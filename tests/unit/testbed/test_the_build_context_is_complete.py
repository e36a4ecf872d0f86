"""What the image is built from."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest

from testbed import builder, failures

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    top = tmp_path / "checkout"
    for name in (
        "Dockerfile",
        ".dockerignore",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "locks/runtime.txt",
        "plugin/main.go",
        "plugin/main_test.go",
        "plugin/bin/mooring",
        "cri/main.go",
        "operator/mooring/__init__.py",
        "operator/mooring/__pycache__/__init__.cpython-311.pyc",
        "secrets.txt",
    ):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(name)
    return top


class TestStaging:
    def test_sources_go_in_and_products_and_tests_stay_out(self, checkout: Path, tmp_path: Path) -> None:
        staged = {str(path) for path in builder.stage(tmp_path / "context", checkout)}
        assert {"plugin/main.go", "operator/mooring/__init__.py", "Dockerfile"} <= staged
        assert not staged & {"plugin/bin/mooring", "plugin/main_test.go", "secrets.txt"}
        assert not any("__pycache__" in path for path in staged)

    def test_a_missing_source_is_named(self, checkout: Path, tmp_path: Path) -> None:
        (checkout / "LICENSE").unlink()
        with pytest.raises(failures.Failure, match="LICENSE is missing"):
            builder.stage(tmp_path / "context", checkout)

    def test_all_that_the_dockerfile_copies_is_staged(self) -> None:
        copied = re.findall(r"^COPY (?!--)(.+) \S+$", (builder.CHECKOUT / "Dockerfile").read_text(), re.MULTILINE)
        tops = {name.rstrip("/").split("/")[0] for line in copied for name in line.split()}
        assert tops
        assert tops <= set(builder.CONTEXT)

    def test_the_image_has_the_project_s_version(self) -> None:
        assert re.fullmatch(r"mooring\.dev/mooring:\d+\.\d+\.\d+", builder.name())


class TestAnotherRelease:
    def test_it_is_the_same_code_with_another_version(self, tmp_path: Path) -> None:
        context = tmp_path / "context"
        builder.stage(context)
        builder.release(context, "9.8.7-rc.1")
        project = tomllib.loads((context / "pyproject.toml").read_text())
        ours = tomllib.loads((builder.CHECKOUT / "pyproject.toml").read_text())
        assert project["project"].pop("version") == "9.8.7-rc.1"
        del ours["project"]["version"]
        assert project == ours
        assert builder.name("9.8.7-rc.1") == "mooring.dev/mooring:9.8.7-rc.1"

    def test_it_may_be_one_of_before_a_renderer(self, tmp_path: Path) -> None:
        builder.stage(tmp_path)
        builder.keep_renderers(tmp_path, 1)
        environment = {"PYTHONPATH": str(tmp_path / "operator")}
        program = "from mooring.installing import renderers as r; print(r.NEWEST, r.known(1), r.known(2))"
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
        assert done.stdout == b"1 True False\n"
        with pytest.raises(failures.Failure, match="no renderer 99"):
            builder.keep_renderers(tmp_path, 99)

    @pytest.mark.parametrize("version", ["", "1.0", "latest", '1.0.0"', "1.0.0\n"])
    def test_what_is_no_version_is_refused(self, tmp_path: Path, version: str) -> None:
        (tmp_path / "pyproject.toml").write_text('version = "0.1.0"\n')
        with pytest.raises(failures.Failure, match="is no version"):
            builder.release(tmp_path, version)
