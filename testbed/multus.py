"""Multus as its own project deploys it, for clusters on which it is adopted.

Owns images of its programs, built from the Go module that `binaries` pins, and its manifests as that module has them,
with these images in them. Refuses to change how it works: only its limits go, which a burst of pods exceeds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import yaml

from testbed import binaries, cache, images

if TYPE_CHECKING:
    from pathlib import Path

Form = Literal["thin", "thick"]
NAMESPACE = "kube-system"
DAEMON_SET = "kube-multus-ds"
_MANIFESTS = {"thin": "multus-daemonset.yml", "thick": "multus-daemonset-thick.yml"}
_FOLDER = "/usr/src/multus-cni/bin"
_MODULE = "gopkg.in/k8snetworkplumbingwg/multus-cni.v4"
# Without it a program that asks who it is gets no answer.
_PASSWD = "root:x:0:0:root:/root:/\n"  # noqa: S105  no password
# Runtimes name network namespaces below /var/run, and the daemon's pod mounts /run/netns.
_LINKS = {"/var/run": "/run"}


def image(form: Form) -> str:
    """Return the name of the image."""
    return f"mooring.dev/multus-{form}:4"


def archive() -> Path:
    """Return an OCI archive with an image of both forms, building it if needed. Raises Failure where that fails."""
    built = binaries.multus()

    def make(folder: Path) -> None:
        (folder / "passwd").write_text(_PASSWD)
        programs = {"/etc/passwd": folder / "passwd"}
        for program in built.iterdir():
            name = "passthru" if program.name == "passthru-cni" else program.name
            programs[f"{_FOLDER}/{name}"] = program
        for name in ("install_multus", "thin_entrypoint"):
            programs[f"/{name}"] = built / name
        images.program_image(folder / "multus.tar", (image("thin"), image("thick")), programs, links=_LINKS)

    return cache.published("multus-image", cache.key(built.name, _PASSWD, _FOLDER, str(_LINKS)), make) / "multus.tar"


def manifests(form: Form) -> list[dict[str, Any]]:
    """Return the objects of its deployment. Raises Failure where the module is not there."""
    module = binaries.module_folder(binaries.MULTUS, _MODULE)
    text = (module / "deployments" / _MANIFESTS[form]).read_text()
    found = [each for each in yaml.safe_load_all(text) if each]
    for each in found:
        if each["kind"] == "DaemonSet":
            pod = each["spec"]["template"]["spec"]
            for container in [*pod["initContainers"], *pod["containers"]]:
                container["image"] = image(form)
                container["resources"] = {}
    return found
