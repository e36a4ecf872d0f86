"""An image like another one, but for some files: owns adding a layer to an OCI archive.

For tests of an image that is broken, or of the next release of the same code. Refuses to remove files.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_BLOBS = "blobs/sha256/"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


def image(source: Path, target: Path, name: str, files: Mapping[str, bytes]) -> None:
    """Write an archive of the one image in `source` under another name, with these programs, by their path in it."""
    with tarfile.open(source) as archive, tarfile.open(target, "w") as made:
        index = _read(archive, "index.json")
        [described] = index["manifests"]
        manifest = _read(archive, _path(described))
        configuration = _read(archive, _path(manifest["config"]))
        layer = _layer(files)
        configuration["rootfs"]["diff_ids"].append(f"sha256:{hashlib.sha256(layer).hexdigest()}")
        configuration.pop("history", None)  # it counts layers
        manifest["layers"].append(_add(made, layer) | {"mediaType": _LAYER})
        manifest["config"] |= _add(made, json.dumps(configuration).encode())
        described |= _add(made, json.dumps(manifest).encode())
        described["annotations"] = {"io.containerd.image.name": name}
        for member in archive.getmembers():
            if member.isfile() and member.name != "index.json":
                made.addfile(member, archive.extractfile(member))
        _put(made, "index.json", json.dumps(index).encode())


def _read(archive: tarfile.TarFile, path: str) -> dict[str, Any]:
    file = archive.extractfile(path)
    if file is None:
        raise ValueError(f"{path} is no file of the archive")
    found: dict[str, Any] = json.load(file)
    return found


def _path(described: Mapping[str, Any]) -> str:
    return _BLOBS + str(described["digest"]).removeprefix("sha256:")


def _layer(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as layer:
        for path, data in sorted(files.items()):
            _put(layer, path.lstrip("/"), data, mode=0o755)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, data: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    _put(archive, _BLOBS + digest, data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


def _put(archive: tarfile.TarFile, path: str, data: bytes, *, mode: int = 0o644) -> None:
    information = tarfile.TarInfo(path)
    information.size, information.mode = len(data), mode
    archive.addfile(information, io.BytesIO(data))
