"""`make release`: owns which artefacts a release has, and writing them into one folder.

All of them are made from a commit: what is not committed is no release. Refuses to publish or to sign anything.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import hashlib
import io
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

from releasing import archives, contents, sbom
from testbed import binaries, builder, commands, failures, plugin, progress, versions

CHECKOUT = versions.CHECKOUT
ARCHITECTURES = ("amd64", "arm64")
CHART = CHECKOUT / "charts" / "mooring"
SUMS = "SHA256SUMS"


def commit() -> tuple[str, datetime.datetime]:
    """Return the id and the time of the commit that is checked out. Raises Failure where something differs from it."""
    changed = commands.run(["git", "status", "--porcelain"], cwd=CHECKOUT).splitlines()
    if changed:
        raise failures.Failure(
            f"a release is made from a commit, and these files are not as it has them: {changed[:5]}"
        )
    identity, seconds = commands.run(["git", "log", "-1", "--format=%H %ct"], cwd=CHECKOUT).split()
    return identity, datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)


def programs(folder: Path, *, version: str, identity: str, date: str) -> None:
    """Build the plugin for every processor."""
    for architecture in ARCHITECTURES:
        with tempfile.TemporaryDirectory() as scratch:
            built = plugin.build(Path(scratch), version=version, commit=identity, date=date, architecture=architecture)
            shutil.copy(built, folder / f"mooring-{version}-linux-{architecture}")


def manifests(folder: Path) -> None:
    """Write what `kubectl apply -k` applies, and the definitions alone, as one file each."""
    kubectl = binaries.kubernetes() / "kubectl"
    for name, source in (("install.yaml", "manifests/default"), ("crds.yaml", "crds")):
        (folder / name).write_text(commands.run([kubectl, "kustomize", CHECKOUT / source]))


def image(folder: Path, *, version: str, identity: str, date: str) -> None:
    """Build the image for this machine's processor, and say what is in it. Raises Failure where its plugin differs."""
    architecture = commands.run(["go", "env", "GOARCH"]).strip()
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        archive = builder.release_image(Path(scratch), commit=identity, date=date)
        target = folder / f"mooring-image-{version}-linux-{architecture}.oci.tar"
        archive.rename(target)
    files = archives.files(target, contents.wanted)
    ours = (folder / f"mooring-{version}-linux-{architecture}").read_bytes()
    if files.get(f"{contents.PROGRAMS}{plugin.NAME}") != ours:
        raise failures.Failure("the plugin in the image is not the one that is released beside it: two builds differ")
    found = contents.contents(files, lock=(CHECKOUT / "locks/runtime.txt").read_text())
    made = sbom.document(found, version=version, architecture=architecture, created=date)
    (folder / f"mooring-image-{version}-linux-{architecture}.spdx.json").write_text(sbom.text(made))


def chart(folder: Path, source: Path, *, version: str, seconds: int) -> None:
    """Pack a Helm chart as `helm package` does, with the same bytes each time."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(path for path in source.rglob("*") if path.is_file()):
            data = path.read_bytes()
            entry = tarfile.TarInfo(f"mooring/{path.relative_to(source)}")
            entry.size, entry.mode, entry.mtime = len(data), 0o644, seconds
            archive.addfile(entry, io.BytesIO(data))
    (folder / f"mooring-{version}.tgz").write_bytes(gzip.compress(plain.getvalue(), mtime=seconds))


def sums(folder: Path) -> None:
    """Write the checksum of every artefact, as `sha256sum --check` reads it."""
    lines = []
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n")
    (folder / SUMS).write_text("".join(lines))


def main(arguments: list[str]) -> int:
    """Make all artefacts and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m releasing", description="Make the artefacts of a release.")
    parser.add_argument("folder", type=Path, nargs="?", default=CHECKOUT / "dist")
    folder: Path = parser.parse_args(arguments).folder
    try:
        identity, time = commit()
        version, date = versions.project(), time.strftime("%Y-%m-%dT%H:%M:%SZ")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        programs(folder, version=version, identity=identity, date=date)
        manifests(folder)
        image(folder, version=version, identity=identity, date=date)
        if CHART.is_dir():
            chart(folder, CHART, version=version, seconds=int(time.timestamp()))
        sums(folder)
    except failures.Failure as failure:
        print(f"release: {failure}", file=sys.stderr)
        return 1
    progress.say(f"{version} of commit {identity[:12]} is in {folder}")
    print((folder / SUMS).read_text(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
