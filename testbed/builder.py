"""The image of Mooring, built from the Dockerfile as it stands, without Docker and without a registry.

Owns the stand-ins for the two base images, the staged build context, and the archive in the cache.
Refuses to build twice what did not change: the archive's key is the content of what goes in.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from testbed import cache, commands, failures, machine, progress, versions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CHECKOUT = Path(__file__).resolve().parent.parent
CONTEXT = (
    "Dockerfile",
    ".dockerignore",
    "plugin",
    "cri",
    "operator",
    "locks",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)
_PROJECT_VERSION = re.compile(r'^version = ".*"$', re.MULTILINE)
_RENDERERS_END = "NEWEST = max(_RENDERERS)\n"
SUITE = "bookworm"
ARCHIVE = "mooring.tar"
# Every edit makes another archive of 100 MB and a few layers; an upgrade needs two at once.
_KEPT_ARCHIVES = 6
_KEPT_LAYERS = 200
_STAND_IN_PACKAGES = ("python3", "python3-venv", "ca-certificates")
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
# What tells package managers how to leave this machine, by the names that the Dockerfile knows.
_PASSED_ON = (
    "GOPROXY",
    "GOSUMDB",
    "GOFLAGS",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_DEFAULT_TIMEOUT",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)


def name(version: str | None = None) -> str:
    """Return the image's name with a version, by default the one that pyproject.toml has."""
    if version is None:
        version = versions.project()
    return f"mooring.dev/mooring:{version}"


def image(version: str | None = None, renderer: int | None = None) -> Path:
    """Return an OCI archive of the image, building it if anything that goes in has changed.

    `version` makes it another release of the same code, as an upgrade needs one, `renderer` one that knows no newer
    way to write the nodes' confs. Takes seconds where only our own code changed, a few minutes the first time. Raises
    Failure with the end of the build's log.
    """
    tag = name(version)
    machine.require_root("building images")
    machine.require_packages()
    machine.require_go()
    with cache.locked("image"):
        context = cache.root() / "image-context"
        shutil.rmtree(context, ignore_errors=True)
        staged = stage(context)
        if version is not None:
            release(context, version)
        if renderer is not None:
            keep_renderers(context, renderer)
        entry = cache.key(cache.files_key(context, staged), tag, _stand_in_key())
        try:
            archive = cache.published("image", entry, lambda folder: _build(tag, context, folder)) / ARCHIVE
        finally:
            shutil.rmtree(context)
        archive.parent.touch()
        for old in sorted(archive.parent.parent.iterdir(), key=lambda folder: folder.stat().st_mtime)[:-_KEPT_ARCHIVES]:
            shutil.rmtree(old)
        return archive


def release_image(folder: Path, *, commit: str, date: str) -> Path:
    """Build the image of this checkout once more, as a release has it, and return its OCI archive in a folder.

    Its programs say commit and date, and its layers are packed with gzip, which everything reads.
    """
    machine.require_root("building images")
    machine.require_packages()
    machine.require_go()
    with cache.locked("image"):
        context = cache.root() / "image-context"
        shutil.rmtree(context, ignore_errors=True)
        stage(context)
        try:
            _build(name(), context, folder, arguments={"COMMIT": commit, "DATE": date}, compression=("gzip", 6))
        finally:
            shutil.rmtree(context)
    return folder / ARCHIVE


def stage(context: Path, checkout: Path = CHECKOUT) -> list[Path]:
    """Copy what the build needs into a new folder, so that edits meanwhile change nothing; return what was copied."""
    copied = []
    for top in CONTEXT:
        source = checkout / top
        files = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
        for path in files:
            relative = path.relative_to(checkout)
            if (
                "__pycache__" in relative.parts
                or relative.parts[:2] == ("plugin", "bin")
                or path.name.endswith("_test.go")
            ):
                continue
            target = context / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(path, target)
            except FileNotFoundError as error:
                raise failures.Failure(f"{path} is missing: the image is built from {', '.join(CONTEXT)}") from error
            copied.append(relative)
    return copied


def release(context: Path, version: str) -> None:
    """Make what was staged another release. Raises Failure for what is no version, or no project of ours."""
    if not re.fullmatch(versions.VERSION, version):
        raise failures.Failure(f"{version!r} is no version: write one like 0.2.0")
    project = context / "pyproject.toml"
    changed, count = _PROJECT_VERSION.subn(f'version = "{version}"', project.read_text(), count=1)
    if not count:
        raise failures.Failure(f"{project} says no version")
    project.write_text(changed)


def keep_renderers(context: Path, newest: int) -> None:
    """Make what was staged a release of before further renderers. Raises Failure where that one is not there."""
    path = context / "operator/mooring/installing/renderers.py"
    text = path.read_text()
    if text.count(_RENDERERS_END) != 1 or not re.search(rf"^_RENDERERS\b.*\b{newest}:", text, re.MULTILINE):
        raise failures.Failure(f"{path.name} has no renderer {newest}")
    cut = f"_RENDERERS = {{number: each for number, each in _RENDERERS.items() if number <= {newest}}}\n"
    path.write_text(text.replace(_RENDERERS_END, cut + _RENDERERS_END))


def _build(
    tag: str,
    context: Path,
    folder: Path,
    *,
    arguments: Mapping[str, str] | None = None,
    # Made once and read a few times: the fastest compression is the best.
    compression: tuple[str, int] = ("zstd", 1),
) -> None:
    python = _stand_in()
    progress.say(f"building {tag}")
    goroot, modules, compiled = _go_folders()
    volumes = [
        # The stand-in of the golang image has this machine's Go and its caches, where that image has its own.
        f"{goroot}:/usr/local/go:ro",
        f"{modules}:/go/pkg/mod",
        f"{compiled}:/root/.cache/go-build",
    ]
    given = [f"{key}={os.environ[key]}" for key in _PASSED_ON if os.environ.get(key)]
    given += [f"{key}={value}" for key, value in (arguments or {}).items()]
    bundle = Path(os.environ.get("SSL_CERT_FILE") or _BUNDLE).resolve()
    if bundle.is_file():
        volumes.append(f"{bundle}:{_BUNDLE}:ro")
        given.append(f"PIP_CERT={_BUNDLE}")
    version = tag.rpartition(":")[2]
    given += [f"GO_IMAGE={python}-go", f"PYTHON_IMAGE={python}", f"VERSION={version}"]
    log = cache.root() / "logs" / "build-image.log"
    log.unlink(missing_ok=True)
    _buildah(
        ["build", "--layers", "--pull=never", "--isolation=chroot", "--timestamp=0", f"--tag={tag}"]
        + [word for volume in volumes for word in ("--volume", volume)]
        + [word for argument in given for word in ("--build-arg", argument)]
        + [str(context)],
        what=f"building {tag}",
        log=log,
    )
    if len(list((cache.root() / "buildah/root/overlay").iterdir())) > _KEPT_LAYERS:
        _buildah(["rmi", "--prune", "--force"], what="dropping old layers", log=log)
    _buildah(
        [
            "push",
            f"--compression-format={compression[0]}",
            f"--compression-level={compression[1]}",
            tag,
            f"oci-archive:{folder / ARCHIVE}:{tag}",
        ],
        what=f"archiving {tag}",
        log=log,
    )
    progress.say(f"built {tag}")


def _stand_in_key() -> str:
    return cache.key(SUITE, *_STAND_IN_PACKAGES)


def _stand_in() -> str:
    """Return the stand-in for the Python image, making it if needed; the one for Go's has `-go` appended."""
    tag = f"localhost/mooring-testbed:{_stand_in_key()}"
    known = subprocess.run([*_words(), "inspect", "--type=image", f"{tag}-go"], capture_output=True, check=False)
    if known.returncode == 0:
        return tag
    scratch = cache.root() / "stand-in"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    log = cache.root() / "logs" / "stand-in.log"
    log.unlink(missing_ok=True)
    try:
        progress.say(f"making a base image from Debian {SUITE} with {', '.join(_STAND_IN_PACKAGES)}")
        root = scratch / "root"
        commands.run_logged(
            # Its mounts must not stay on the machine, even if it is interrupted.
            [
                "unshare",
                "--mount",
                "--propagation",
                "private",
                "--",
                "debootstrap",
                "--variant=minbase",
                f"--include={','.join(_STAND_IN_PACKAGES)}",
                SUITE,
                str(root),
            ],
            what="debootstrap",
            log=log,
        )
        for leftover in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(root / leftover)
            (root / leftover / "partial").mkdir(parents=True)
        commands.run_logged(
            ["tar", "--create", "--numeric-owner", f"--directory={root}", f"--file={scratch / 'root.tar'}", "."],
            what="packing the base image",
            log=log,
        )
        shutil.rmtree(root)
        for suffix, text in (
            ("", "FROM scratch\nADD root.tar /\n"),
            (
                "-go",
                f"FROM {tag}\nENV GOPATH=/go PATH=/usr/local/go/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
            ),
        ):
            (scratch / "Dockerfile").write_text(text)
            _buildah(["build", "--pull=never", f"--tag={tag}{suffix}", str(scratch)], what="the base image", log=log)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return tag


def _go_folders() -> tuple[str, str, str]:
    goroot, modules, compiled = commands.run(["go", "env", "GOROOT", "GOMODCACHE", "GOCACHE"]).split()
    Path(modules).mkdir(parents=True, exist_ok=True)
    Path(compiled).mkdir(parents=True, exist_ok=True)
    return goroot, modules, compiled


def _words() -> list[str]:
    """Return the words that begin every buildah command: its own storage, and mounts that go with the process."""
    storage = cache.root() / "buildah"
    storage.mkdir(parents=True, exist_ok=True)
    policy = storage / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}\n')
    unshared = ["unshare", "--mount", "--propagation", "private", "--", "buildah"]
    return [*unshared, f"--root={storage / 'root'}", f"--runroot={storage / 'run'}", "--storage-driver=overlay"]


def _buildah(arguments: Sequence[str], *, what: str, log: Path) -> None:
    policy = f"--signature-policy={cache.root() / 'buildah' / 'policy.json'}"
    command, *rest = arguments
    policies = [policy] if command in ("build", "push") else []
    commands.run_logged([*_words(), command, *policies, *rest], what=what, log=log)
