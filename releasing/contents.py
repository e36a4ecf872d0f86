"""What is in an image: owns reading Debian's, Python's and Go's own records of it. Refuses to guess from file names.

Debian: /var/lib/dpkg/status. Python: METADATA of each distribution, and the hashes of the lock file that pip compared
it with. Go: what `go version -m` reads of each program.
"""

from __future__ import annotations

import dataclasses
import email.parser
import hashlib
import re
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DPKG = "var/lib/dpkg/status"
PROGRAMS = "usr/libexec/mooring/"
_METADATA = re.compile(r"opt/mooring/lib/python3\.\d+/site-packages/[^/]+\.dist-info/METADATA")
_LOCKED = re.compile(r"^(\S+)==(\S+)((?: \\\n\s+--hash=\S+)+)", re.MULTILINE)


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """Something with a name and a version, found in the image. `purl` is its package URL.

    `told` says where it is known from; `licence` is an SPDX expression of its own, or empty.
    """

    name: str
    version: str
    purl: str
    told: str
    licence: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Program:
    """A Go program of the image: its path, its checksum, and the modules that are linked into it."""

    path: str
    sha256: str
    modules: tuple[Part, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Contents:
    """All of an image that has a record."""

    debian: tuple[Part, ...]
    python: tuple[Part, ...]
    programs: tuple[Program, ...]


def wanted(path: str) -> bool:
    """Say whether a file of the image is needed to tell what is in it."""
    return path == DPKG or path.startswith(PROGRAMS) or _METADATA.fullmatch(path) is not None


def contents(files: Mapping[str, bytes], *, lock: str) -> Contents:
    """Return what these files of an image tell; `lock` is the text of the lock file.

    Raises:
        ValueError: one of the three kinds of records is not there, or a Python package is not the locked one.
    """
    python = tuple(sorted(_python(files, lock), key=lambda part: part.name))
    programs = tuple(
        Program(path, hashlib.sha256(data).hexdigest(), modules(go_records(data)))
        for path, data in sorted(files.items())
        if path.startswith(PROGRAMS)
    )
    found = Contents(tuple(debian(files.get(DPKG, b"").decode())), python, programs)
    for field in dataclasses.fields(found):
        if not getattr(found, field.name):
            raise ValueError(f"the image has no records of kind {field.name}")
    return found


def debian(status: str) -> Iterator[Part]:
    """Yield the packages that dpkg has installed."""
    for paragraph in status.split("\n\n"):
        fields = email.parser.HeaderParser().parsestr(paragraph.strip())
        if fields.get("Status", "").endswith(" installed"):
            name, version, architecture = fields["Package"], fields["Version"], fields["Architecture"]
            purl = f"pkg:deb/debian/{name}@{_quoted(version)}?arch={architecture}"
            yield Part(name, version, purl, f"Debian package of source {fields.get('Source', name)}")


def locked(lock: str) -> dict[tuple[str, str], list[str]]:
    """Return the hashes of each name and version of a lock file."""
    return {
        (_normal(name), version): re.findall(r"--hash=(\S+)", hashes) for name, version, hashes in _LOCKED.findall(lock)
    }


def _python(files: Mapping[str, bytes], lock: str) -> Iterator[Part]:
    known = locked(lock)
    for path, data in files.items():
        if not _METADATA.fullmatch(path):
            continue
        fields = email.parser.HeaderParser().parsestr(data.decode())
        name, version = _normal(fields["Name"]), fields["Version"]
        if name == "mooring":
            told = "built from the sources of this release"
        elif (name, version) in known:
            told = f"one of the files with these hashes, which pip compared: {' '.join(known[name, version])}"
        else:
            raise ValueError(f"{name} {version} is in the image and not in the lock file")
        yield Part(name, version, f"pkg:pypi/{name}@{_quoted(version)}", told, fields.get("License-Expression", ""))


def go_records(program: bytes) -> str:
    """Return what `go version -m` says of a program."""
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(program)
        return subprocess.run(["go", "version", "-m", file.name], capture_output=True, text=True, check=True).stdout


def modules(records: str) -> tuple[Part, ...]:
    """Return the modules that are linked into a program, Go's own library first, by what `go version -m` says."""
    first, *lines = records.splitlines()
    toolchain = first.rpartition(": go")[2]
    found = [Part("stdlib", toolchain, f"pkg:golang/stdlib@{toolchain}", "Go's standard library")]
    for line in lines:
        kind, *words = line.split()
        if kind == "=>":
            found.pop()  # what it stands for is not in the program
        if kind in ("dep", "=>"):
            name, version, *checksum = words
            told = f"Go module with the checksum {checksum[0]} in go.sum" if checksum else "Go module"
            found.append(Part(name, version, f"pkg:golang/{name}@{_quoted(version)}", told))
    return tuple(found)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _quoted(version: str) -> str:
    return version.replace("+", "%2B").replace(":", "%3A")
