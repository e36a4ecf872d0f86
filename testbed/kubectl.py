"""A cluster of the testbed as a person uses it: owns running `kubectl` and the testbed's own commands.

The demo and the end-to-end tests go through here. Refuses to interpret what a command did: a failed one is an
exception that carries what was printed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

CHECKOUT = Path(__file__).resolve().parent.parent
_T = TypeVar("_T")


class Failed(Exception):
    """A command or a wait did not end as it should; the text is for the person at the terminal."""


def ask_testbed(*arguments: str) -> str:
    """Run a command of the testbed; its progress goes to stderr as it is, what it prints is returned.

    Raises:
        Failed: the command's exit status was not 0.
    """
    command = [sys.executable, "-m", "testbed", *arguments]
    done = subprocess.run(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise Failed(f"`{' '.join(command[1:])}` failed:\n{done.stdout}")
    return done.stdout.strip()


def is_up(name: str) -> bool:
    """Say whether a cluster of this name is up."""
    command = [sys.executable, "-m", "testbed", "status", "--name", name]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=False).returncode == 0


class Cluster:
    """A running cluster of the testbed, by its name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.kubectl_path = Path(ask_testbed("binaries").splitlines()[-1]) / "kubectl"
        self.kubeconfig = ask_testbed("kubeconfig", "--name", name).splitlines()[-1]

    def run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl and return what happened, failed or not."""
        command = [str(self.kubectl_path), "--kubeconfig", self.kubeconfig, *arguments]
        return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, input=stdin, check=False)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl and return what it printed.

        Raises:
            Failed: with what kubectl said.
        """
        done = self.run(*arguments, stdin=stdin)
        if done.returncode:
            raise Failed(f"`kubectl {' '.join(arguments)}` failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def get(self, *arguments: str) -> dict[str, Any]:
        """Return an object, or a list of them, as `kubectl get` gives it in JSON."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return found

    def apply(self, *objects: dict[str, Any]) -> str:
        """Apply objects and return what kubectl printed."""
        return self.kubectl(
            "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        )

    def wait(self, what: str, *arguments: str, seconds: int = 120) -> None:
        """Wait for an object's condition; where it does not come, say what the cluster says about it.

        Raises:
            Failed: with the object's description and events.
        """
        done = self.run("wait", what, *arguments, f"--timeout={seconds}s")
        if done.returncode:
            place = [a for a in arguments if a.startswith(("--namespace", "-n"))]
            raise Failed(
                f"{what}: {done.stderr.strip()} after {seconds} s\n{self.run('describe', what, *place).stdout[-4000:]}"
            )

    def on_node(self, node: str, *command: str) -> str:
        """Run a command in the namespaces of a node and return what it printed.

        Raises:
            Failed: the command's exit status was not 0.
        """
        return ask_testbed("exec-node", "--name", self.name, node, "--", *command)

    def network_status(self, pod: str, namespace: str = "default") -> list[dict[str, Any]]:
        """Return a pod's network-status; an empty list where there is none yet."""
        annotations = self.get("pod", pod, "-n", namespace)["metadata"].get("annotations", {})
        written: list[dict[str, Any]] = json.loads(annotations.get("k8s.v1.cni.cncf.io/network-status", "[]"))
        return written


def eventually(question: Callable[[], _T], *, seconds: float, what: str) -> _T:
    """Ask until the answer is true, and return it.

    Raises:
        Failed: the answer was still false, or still an error, when the time was over.
    """
    deadline = time.monotonic() + seconds
    while True:
        problem = ""
        try:
            answer = question()
            if answer:
                return answer
        except Failed as failure:
            problem = f": {failure}"
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {seconds} s{problem}")
        time.sleep(0.1)
