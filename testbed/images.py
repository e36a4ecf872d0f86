"""The small images that a cluster needs: the sandbox's pause, and busybox for demo and test pods.

Owns making them as OCI archives without any tool but the C compiler. Refuses layers on other
images: everything is one file (and links to it) from scratch.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from testbed import cache, commands

if TYPE_CHECKING:
    from collections.abc import Mapping

PAUSE = "mooring.dev/pause:1"
BUSYBOX = "mooring.dev/busybox:1"
# Debian's busybox is 1.35, and this is what containerd calls the image of a pod that asks for `busybox:1.35`.
BUSYBOX_ALIASES = ("docker.io/library/busybox:1.35",)

# Waits for ever, reaps what is left to it, and ends at once when asked.
_PAUSE_SOURCE = """\
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void leave(int number) { (void)number; _exit(0); }
static void reap(int number) { (void)number; while (waitpid(-1, 0, WNOHANG) > 0) {} }
int main(void) {
    signal(SIGINT, leave);
    signal(SIGTERM, leave);
    signal(SIGCHLD, reap);
    for (;;) pause();
}
"""


def small_images() -> Path:
    """Return an OCI archive with pause and busybox, making it if needed. Raises Failure without gcc or busybox."""
    busybox = Path("/bin/busybox").resolve()
    entry = cache.key(busybox.read_bytes(), Path(__file__).read_bytes())

    def make(folder: Path) -> None:
        program = folder / "pause"
        commands.run(["gcc", "-static", "-Os", "-s", "-x", "c", "-o", program, "-"], stdin=_PAUSE_SOURCE)
        applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
        pause = [_file("pause", program.read_bytes())]
        # /bin/busybox must not become a link to itself.
        box = [_folder("bin"), _folder("tmp", 0o1777), _folder("etc"), _folder("root", 0o700)]
        box += [_file("bin/busybox", busybox.read_bytes())]
        box += [_link(f"bin/{name}", "busybox") for name in applets if name != "busybox"]
        box += [_file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n", 0o644)]
        box += [_file("etc/group", b"root:x:0:\nnogroup:x:65534:\n", 0o644)]
        write_archive(
            folder / "images.tar",
            [
                ((PAUSE,), pause, {"Entrypoint": ["/pause"]}),
                ((BUSYBOX, *BUSYBOX_ALIASES), box, {"Cmd": ["sh"], "Env": ["PATH=/bin"]}),
            ],
        )

    return cache.published("images", entry, make) / "images.tar"


def program_image(
    path: Path, name: str | tuple[str, ...], programs: Mapping[str, Path], *, links: Mapping[str, str] | None = None
) -> None:
    """Write an OCI archive of an image that holds programs, by their path in it, and nothing else: no shell.

    `name` may be several names of it; `links` are links in it, with where they lead.
    """
    folders = sorted(
        {str(parent) for inside in [*programs, *(links or {})] for parent in PurePosixPath(inside.strip("/")).parents}
        - {"."}
    )
    entries = [_folder(folder) for folder in folders]
    entries += [_file(inside.strip("/"), source.read_bytes()) for inside, source in sorted(programs.items())]
    entries += [_link(inside.strip("/"), target) for inside, target in sorted((links or {}).items())]
    write_archive(path, [((name,) if isinstance(name, str) else name, entries, {})])


Entry = tuple[tarfile.TarInfo, bytes]


def write_archive(path: Path, contents: list[tuple[tuple[str, ...], list[Entry], dict[str, list[str]]]]) -> None:
    """Write an OCI archive of images, each with its names, its one layer's entries and its run configuration."""
    blobs: dict[str, bytes] = {}

    def blob(data: bytes, media_type: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    manifests = []
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    for names, entries, run in contents:
        layer = _tar(entries)
        configuration = {
            "architecture": architecture,
            "os": "linux",
            "config": run,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": blob(_json(configuration), "application/vnd.oci.image.config.v1+json"),
            "layers": [blob(layer, "application/vnd.oci.image.layer.v1.tar")],
        }
        described = blob(_json(manifest), "application/vnd.oci.image.manifest.v1+json")
        manifests += [{**described, "annotations": {"io.containerd.image.name": name}} for name in names]
    entries = [_file("oci-layout", _json({"imageLayoutVersion": "1.0.0"}), 0o644)]
    entries += [_file("index.json", _json({"schemaVersion": 2, "manifests": manifests}), 0o644)]
    entries += [_file(f"blobs/sha256/{digest}", data, 0o644) for digest, data in blobs.items()]
    path.write_bytes(_tar(entries))


def _tar(entries: list[Entry]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for information, data in entries:
            archive.addfile(information, io.BytesIO(data))
    return buffer.getvalue()


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True).encode()


def _file(name: str, data: bytes, mode: int = 0o755) -> Entry:
    information = tarfile.TarInfo(name)
    information.size, information.mode = len(data), mode
    return information, data


def _folder(name: str, mode: int = 0o755) -> Entry:
    information = tarfile.TarInfo(name)
    information.type, information.mode = tarfile.DIRTYPE, mode
    return information, b""


def _link(name: str, target: str) -> Entry:
    information = tarfile.TarInfo(name)
    information.type, information.linkname, information.mode = tarfile.SYMTYPE, target, 0o777
    return information, b""
