"""helm as a person uses it: owns running one of its versions with a folder for what it keeps of its own.

Refuses to interpret what a command did: a failed one is an exception that carries what was printed.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import yaml

from testbed import binaries
from testbed.kubectl import CHECKOUT, Failed

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

VERSIONS = {"helm3": binaries.HELM_3, "helm4": binaries.HELM_4}
CHART = "charts/mooring"


class Helm:
    """One version of helm (a name of VERSIONS), at a cluster where a kubeconfig is given."""

    def __init__(self, version: str, home: Path, kubeconfig: Path | str | None = None) -> None:
        self.program = binaries.build(VERSIONS[version]) / "helm"
        folders = {f"HELM_{kind}_HOME": str(home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
        self._environment = {**os.environ, **folders, "KUBECONFIG": str(kubeconfig or home / "none")}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run helm in the checkout and return what happened, failed or not."""
        command = [str(self.program), *arguments]
        return subprocess.run(command, cwd=CHECKOUT, env=self._environment, capture_output=True, text=True, check=False)

    def __call__(self, *arguments: str) -> str:
        """Run helm and return what it printed.

        Raises:
            Failed: with what helm said.
        """
        done = self.run(*arguments)
        if done.returncode:
            raise Failed(f"`helm {' '.join(arguments)}` failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def template(self, *arguments: str, namespace: str = "mooring-system") -> list[dict[str, Any]]:
        """Return every object of the chart, hooks too, with these further arguments."""
        text = self("template", "mooring", CHART, f"--namespace={namespace}", *arguments)
        return [each for each in yaml.safe_load_all(text) if each]
