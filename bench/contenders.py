"""Who is measured: the delegates called directly, and meta-plugins.

Owns how each is called for a pod. All do the same work with the same delegates; the delegates
called one after another are what the others are measured above. Refuses to measure.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Protocol

from bench import networks, processes
from testbed import failures

if TYPE_CHECKING:
    from pathlib import Path

    from bench.networks import Json
    from bench.node import Node, Pod
    from bench.processes import Command, Finished, Steps


class Contender(Protocol):
    """Somebody who attaches a pod to its default network and `count` more, and detaches it."""

    @property
    def label(self) -> str:
        """The name in tables."""

    def prepare(self) -> None:
        """Do before a round what is not part of it."""

    def add(self, pod: Pod, count: int) -> Steps:
        """Return the steps of ADD."""

    def delete(self, pod: Pod, count: int) -> Steps:
        """Return the steps of DEL."""


@dataclasses.dataclass(frozen=True, slots=True)
class Direct:
    """The delegates, called one after another with what a meta-plugin would hand them."""

    node: Node
    label: str = "delegates"
    _results: dict[tuple[str, str], Json] = dataclasses.field(default_factory=dict)

    def prepare(self) -> None:
        """Need nothing."""

    def add(self, pod: Pod, count: int) -> Steps:
        """Attach in order."""
        confs = networks.plugins(count, self.node.addresses)
        for conf, interface in zip(confs, networks.interfaces(count), strict=True):
            finished = yield self._command("ADD", conf, pod, interface)
            self._results[pod.container, interface] = json.loads(succeeded(self.label, finished).stdout)

    def delete(self, pod: Pod, count: int) -> Steps:
        """Detach in reverse, each with the result of its ADD."""
        confs = networks.plugins(count, self.node.addresses)
        for conf, interface in zip(reversed(confs), reversed(networks.interfaces(count)), strict=True):
            result = self._results.pop((pod.container, interface))
            succeeded(self.label, (yield self._command("DEL", conf | {"prevResult": result}, pod, interface)))

    def _command(self, verb: str, conf: Json, pod: Pod, interface: str) -> Command:
        programs = self.node.programs
        environment = pod.environment(verb, interface=interface, programs=programs)
        return processes.Command(programs / conf["type"], json.dumps(conf).encode(), environment)


@dataclasses.dataclass(frozen=True, slots=True)
class Meta:
    """A meta-plugin: one call for all networks of a pod.

    The pod's annotations are in runtimeConfig where the conf asks for them, as a runtime does it.
    `cached` is the folder whose cache of definitions is to be fresh, None where it keeps none.
    """

    node: Node
    label: str
    program: Path
    conf: Json
    cached: Path | None = None

    def prepare(self) -> None:
        """Renew the heartbeat of the cache."""
        if self.cached is not None:
            self.node.beat(self.cached)

    def add(self, pod: Pod, count: int) -> Steps:
        """Call ADD."""
        succeeded(self.label, (yield self.command("ADD", pod, networks.annotation(count))))

    def delete(self, pod: Pod, count: int) -> Steps:
        """Call DEL."""
        succeeded(self.label, (yield self.command("DEL", pod, networks.annotation(count))))

    def command(self, verb: str, pod: Pod, annotation: str) -> Command:
        """Return the call for a pod that asks for these networks."""
        conf = self.conf
        if conf.get("capabilities", {}).get(networks.RUNTIME_ANNOTATIONS):
            annotations = {networks.ANNOTATION: annotation} if annotation else {}
            conf = conf | {"runtimeConfig": {networks.RUNTIME_ANNOTATIONS: annotations}}
        environment = pod.environment(verb, interface="eth0", programs=self.node.programs)
        return processes.Command(self.program, json.dumps(conf).encode(), environment)


def succeeded(label: str, finished: Finished) -> Finished:
    """Return a call that succeeded. Raises Failure with what it printed where it did not."""
    if finished.status != 0:
        said = (finished.stdout + finished.stderr).decode(errors="replace").strip()
        raise failures.Failure(f"{label} failed with status {finished.status}: {said or 'it said nothing'}")
    return finished


def other_conf(text: str, places: dict[str, str]) -> Json:
    """Read the conf of another plugin; `@NAME@` stands for what `places` has under NAME.

    Raises Failure where it is not JSON then.
    """
    for place, value in places.items():
        text = text.replace(f"@{place}@", value)
    try:
        conf: Json = json.loads(text)
    except json.JSONDecodeError as error:
        raise failures.Failure(f"--other-conf is not JSON: {error}") from error
    if not isinstance(conf, dict):
        raise failures.Failure("--other-conf: expected an object")
    return conf
