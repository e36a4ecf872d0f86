"""The files of an image in an OCI archive, as a container would see them: owns reading layers, the last one first.

Refuses to run anything of the image, and to unpack it onto a disk.
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"


class ArchiveError(ValueError):
    """An archive that is not what it should be; the text is for a person."""


def layers(archive: tarfile.TarFile) -> list[str]:
    """Return the names of an image's layers in its OCI archive, the lowest first.

    Raises:
        ArchiveError: there is not exactly one image.
    """
    index = json.loads(_read(archive, "index.json"))
    if len(index["manifests"]) != 1:
        raise ArchiveError(f"the archive has {len(index['manifests'])} images, and not one")
    manifest = json.loads(_read(archive, _blob(index["manifests"][0]["digest"])))
    return [_blob(layer["digest"]) for layer in manifest["layers"]]


def files(path: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Return the files of the image whose path, without a leading slash, is wanted. Links are left out.

    Raises:
        ArchiveError: a layer is compressed in a way that Python does not read.
    """
    found: dict[str, bytes] = {}
    hidden: set[str] = set()
    with tarfile.open(path) as archive:
        for name in reversed(layers(archive)):
            with _layer(archive, name) as layer:
                here: set[str] = set()
                for member in layer:
                    inside = member.name.removeprefix("./").rstrip("/")
                    folder, _, last = inside.rpartition("/")
                    if last == _OPAQUE:
                        here.add(folder)  # not what this layer itself has in it: that is hidden for those below
                    elif last.startswith(_WHITEOUT):
                        here.add(f"{folder}/{last.removeprefix(_WHITEOUT)}".lstrip("/"))
                    elif member.isfile() and inside not in found and wanted(inside) and not _hides(hidden, inside):
                        data = layer.extractfile(member)
                        assert data is not None, "it is a regular file"
                        found[inside] = data.read()
                    elif not member.isdir() and inside not in found:
                        here.add(inside)
                hidden |= here
    return found


def _layer(archive: tarfile.TarFile, name: str) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=io.BytesIO(_read(archive, name)))
    except tarfile.ReadError as error:
        raise ArchiveError(f"layer {name} is neither plain nor packed with gzip") from error


def _hides(hidden: set[str], inside: str) -> bool:
    return inside in hidden or any(str(parent) in hidden for parent in PurePosixPath(inside).parents)


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    data = archive.extractfile(name)
    if data is None:
        raise ArchiveError(f"the archive has no {name}")
    return data.read()
