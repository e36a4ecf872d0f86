"""A node as the plugin sees it: folders, binaries, configuration, network namespaces.

Owns how a test calls the plugin and what it may look at afterwards. Refuses to know anything of the
plugin's inside: everything goes through the environment, stdin, stdout and files of the contract.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import time
import uuid
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Json = dict[str, Any]

NETWORKS = "k8s.v1.cni.cncf.io/networks"
DEFAULT_NETWORK = "v1.multus-cni.io/default-network"
ANNOTATIONS = "io.kubernetes.cri.pod-annotations"


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What a call of the plugin came to."""

    status: int
    stdout: str
    stderr: str

    @property
    def result(self) -> Json:
        """The result of a call that succeeded."""
        assert self.status == 0, f"failed: {self.stdout}{self.stderr}"
        parsed: Json = json.loads(self.stdout)
        return parsed

    @property
    def error(self) -> Json:
        """The CNI error of a call that failed."""
        assert self.status != 0, f"succeeded: {self.stdout}"
        parsed: Json = json.loads(self.stdout)
        return parsed

    def ok(self) -> None:
        """Assert success."""
        assert self.status == 0, f"failed: {self.stdout}{self.stderr}"


@dataclasses.dataclass(frozen=True, slots=True)
class Running:
    """A call of the plugin that has not ended."""

    process: subprocess.Popen[str]

    def end(self, *, timeout: float = 30) -> Outcome:
        """Wait for its end."""
        stdout, stderr = self.process.communicate(timeout=timeout)
        return Outcome(self.process.returncode, stdout, stderr)


@dataclasses.dataclass(frozen=True, slots=True)
class Pod:
    """A sandbox: a container id and a network namespace, both of this test alone."""

    container: str
    netns: str
    name: str = "web"
    namespace: str = "default"
    uid: str = "6d0f1c3e-8a57-4b0e-9a3e-0d6f5b2a7c11"

    @property
    def args(self) -> str:
        """CNI_ARGS as containerd has them."""
        return (
            f"IgnoreUnknown=1;K8S_POD_NAMESPACE={self.namespace};K8S_POD_NAME={self.name}"
            f";K8S_POD_INFRA_CONTAINER_ID={self.container};K8S_POD_UID={self.uid}"
        )


class Node:
    """Folders and a network namespace of one test, and the plugin called in them."""

    def __init__(self, root: Path, plugin: Path, programs: Path, reference: Path) -> None:
        self.root = root
        self.plugin = plugin
        self.killer = programs / "killer"
        self.bin = root / "bin"
        self.state = root / "state"
        self.confs = root / "confs"
        self.recorded = root / "stub"
        self.namespaces: list[str] = []
        self.netns: str | None = self._namespace()
        self.replaced: dict[str, Path] = {}
        for folder in (self.bin, self.state, self.confs, self.recorded):
            folder.mkdir()
        for program in reference.iterdir():
            (self.bin / program.name).symlink_to(program)
        for kind in ("stub", "other", "third", "chained"):
            (self.bin / kind).symlink_to(programs / "stub")

    # ---- what is there ----

    def pod(self, **fields: str) -> Pod:
        """Make a sandbox with a real network namespace."""
        return Pod(container=uuid.uuid4().hex, netns=self._namespace(), **fields)

    def _namespace(self) -> str:
        name = f"mooring-{uuid.uuid4().hex[:12]}"
        subprocess.run(["ip", "netns", "add", name], check=True)
        self.namespaces.append(name)
        return f"/run/netns/{name}"

    def close(self) -> None:
        """Delete the network namespaces."""
        for name in self.namespaces:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)

    def conf(self, *delegates: Json, **keys: Any) -> Json:
        """Make the meta-plugin's configuration."""
        made: Json = {
            "cniVersion": "1.0.0",
            "name": "multus-cni-network",
            "type": "mooring",
            "binDir": str(self.bin),
            "cniDir": str(self.state),
            "confDir": str(self.confs),
            "logLevel": "verbose",
        }
        if delegates:
            made["delegates"] = list(delegates)
        return {key: value for key, value in (made | keys).items() if value is not None}

    def network(self, name: str, config: Json | str, *, namespace: str = "default", resource: str = "") -> None:
        """Put a NAD into the cache, as the agent does."""
        folder = self.state / "networks" / namespace
        folder.mkdir(parents=True, exist_ok=True)
        text = config if isinstance(config, str) else json.dumps(config)
        entry = {
            "version": 1,
            "namespace": namespace,
            "name": name,
            "uid": str(uuid.uuid4()),
            "resourceVersion": "1",
            "resourceName": resource,
            "config": text,
        }
        (folder / f"{name}.json").write_text(json.dumps(entry))

    def beat(self, *, age: float = 0.0, boot: str | None = None) -> None:
        """Renew the cache's heartbeat, `age` seconds ago."""
        (self.state / "networks").mkdir(parents=True, exist_ok=True)
        heartbeat = {
            "version": 1,
            "bootID": boot or Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
            "boottime": time.clock_gettime(time.CLOCK_BOOTTIME) - age,
            "ttlSeconds": 30,
        }
        (self.state / "networks" / "heartbeat").write_text(json.dumps(heartbeat))

    def answer(self, **answers: Json) -> None:
        """Script the stub: keys are `type__VERB__ifname`, `type__VERB` or `VERB`."""
        script = {key.replace("__", "."): value for key, value in answers.items()}
        (self.recorded / "answers.json").write_text(json.dumps(script))

    # ---- calling ----

    def call(
        self,
        verb: str,
        conf: Json | str,
        pod: Pod | None = None,
        *,
        timeout: float = 60,
        **options: Any,
    ) -> Outcome:
        """Run the plugin once and wait for its end. Options are those of `command`."""
        command, environment, stdin = self.command(verb, conf, pod, **options)
        done = subprocess.run(
            command, input=stdin, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def start(self, verb: str, conf: Json | str, pod: Pod | None = None, **options: Any) -> Running:
        """Run the plugin and go on; `Running.end` waits for it."""
        command, environment, stdin = self.command(verb, conf, pod, **options)
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write(stdin)
        process.stdin.close()
        process.stdin = None
        return Running(process)

    def command(
        self,
        verb: str,
        conf: Json | str,
        pod: Pod | None = None,
        *,
        env: Mapping[str, str | None] | None = None,
        annotations: Mapping[str, str] | None = None,
        ifname: str = "eth0",
        program: Path | None = None,
        prefix: Sequence[str | Path] = (),
    ) -> tuple[list[str | Path], dict[str, str], str]:
        """Make command, environment and stdin of a call.

        `annotations` go where containerd puts them; `env` changes the environment, None takes a
        variable away; `prefix` is a program that runs the plugin.
        """
        if isinstance(conf, dict) and annotations is not None:
            given = dict(conf.get("runtimeConfig", {}))
            conf = conf | {"runtimeConfig": given | {ANNOTATIONS: dict(annotations)}}
        environment: dict[str, str | None] = {
            "PATH": os.environ["PATH"],
            "MOORING_STUB": str(self.recorded),
            "CNI_COMMAND": verb,
            "CNI_PATH": str(self.bin),
        }
        if pod is not None:
            environment |= {
                "CNI_CONTAINERID": pod.container,
                "CNI_NETNS": pod.netns,
                "CNI_IFNAME": ifname,
                "CNI_ARGS": pod.args,
            }
        environment |= env or {}
        command: list[str | Path] = [] if self.netns is None else ["nsenter", f"--net={self.netns}"]
        if self.replaced:
            command += ["unshare", "--mount", "--propagation=private", "sh", "-ec", _replacing(self.replaced), "sh"]
        command += [*prefix, program or self.plugin]
        stdin = conf if isinstance(conf, str) else json.dumps(conf)
        return command, {key: value for key, value in environment.items() if value is not None}, stdin

    def add(self, conf: Json, pod: Pod, annotation: str | list[Any] | None = None, **options: Any) -> Outcome:
        """ADD with a networks annotation, which may be given as the list that it is JSON of."""
        annotations = options.pop("annotations", {})
        if annotation is not None:
            text = annotation if isinstance(annotation, str) else json.dumps(annotation)
            annotations = annotations | {NETWORKS: text}
        return self.call("ADD", conf, pod, annotations=annotations, **options)

    def delete(self, conf: Json, pod: Pod, **options: Any) -> Outcome:
        """DEL."""
        return self.call("DEL", conf, pod, **options)

    # ---- what happened ----

    def calls(self, verb: str | None = None, *, event: str = "end") -> list[Json]:
        """What the stub was called with, in order."""
        return [
            record for record in self.events() if record["event"] == event and (verb is None or record["verb"] == verb)
        ]

    def events(self) -> Iterator[Json]:
        """Begin and end of every call of the stub."""
        file = self.recorded / "calls.jsonl"
        if file.exists():
            for line in file.read_text().splitlines():
                yield json.loads(line)

    def ran(self, verb: str | None = None) -> list[str]:
        """`VERB ifname` or, for one verb, `ifname` of the stub's calls that ended."""
        return [
            record["env"]["CNI_IFNAME"] if verb else f"{record['verb']} {record['env']['CNI_IFNAME']}"
            for record in self.calls(verb)
        ]

    def forget_calls(self) -> None:
        """Start a new recording."""
        (self.recorded / "calls.jsonl").unlink(missing_ok=True)

    def journal_path(self, pod: Pod, ifname: str = "eth0") -> Path:
        """Where the contract says that a sandbox's journal is."""
        return self.state / "attachments" / f"{pod.container}@{ifname}.jsonl"

    def journal(self, pod: Pod) -> list[Json]:
        """The records of a sandbox's journal; every checksum must be right."""
        records = []
        for line in self.journal_path(pod).read_bytes().splitlines():
            body = line[27:-1]
            assert line[:27] == b'{"crc":"%08x","record":' % zlib.crc32(body), line[:40]
            records.append(json.loads(body))
        return records

    def header(self, pod: Pod) -> Json:
        """The header of a sandbox's journal: of several the last counts."""
        return [record for record in self.journal(pod) if record["type"] == "header"][-1]

    def write_journal(self, pod: Pod, records: list[Json]) -> None:
        """Write a journal as an earlier call would have."""
        path = self.journal_path(pod)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(journal_line(record) for record in records))

    def left(self) -> list[str]:
        """Files of ours that belong to sandboxes."""
        return sorted(
            str(path.relative_to(self.state))
            for folder in ("attachments", "results", "quarantine")
            for path in (self.state / folder).rglob("*")
        )

    def leases(self) -> list[str]:
        """Addresses that host-local holds for this node: networks' `dataDir` is `ipam`."""
        files = (self.root / "ipam").rglob("*")
        return sorted(path.name for path in files if path.is_file() and not path.name.startswith(("lock", "last_")))

    def bridge(self, name: str, subnet: str, **keys: Any) -> Json:
        """A network of the reference plugins whose addresses `leases` knows."""
        ipam = {"type": "host-local", "subnet": subnet, "dataDir": str(self.root / "ipam")}
        return {"cniVersion": "1.0.0", "name": name, "type": "bridge", "bridge": f"br-{name}", "ipam": ipam} | keys

    def failures(self) -> list[Json]:
        """The lines of failures.jsonl."""
        file = self.state / "failures.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def interfaces(self, pod: Pod) -> set[str]:
        """The names of the interfaces in a sandbox, without lo."""
        shown = in_netns(pod, "ip", "-json", "link")
        return {link["ifname"] for link in json.loads(shown)} - {"lo"}


def _replacing(folders: Mapping[str, Path]) -> str:
    """A shell script that puts folders of the test in the place of the machine's, and then runs a program.

    What else is below /var/lib, /opt, /etc or /run is out of sight then, but for the network namespaces; nothing is
    made on the machine itself.
    """
    lines = []
    for top in sorted({_top(folder) for folder in folders}):
        if top == "run":
            lines.append("mount --make-rprivate /; mount -t tmpfs none /mnt; mkdir /mnt/netns")
            lines.append("mount --rbind /run/netns /mnt/netns; mount -t tmpfs none /run; mkdir /run/netns")
            lines.append("mount --rbind /mnt/netns /run/netns")
        else:
            lines.append(f"mount -t tmpfs none /{top}")
    lines += [f'mkdir -p "{folder}"; mount --bind "{source}" "{folder}"' for folder, source in folders.items()]
    return "\n".join([*lines, 'exec "$@"'])


def _top(folder: str) -> str:
    return next(top for top in ("var/lib", "opt", "etc", "run") if folder.startswith(f"/{top}/"))


def journal_line(record: Json) -> bytes:
    """Return a record as it stands in a journal."""
    body = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()
    return b'{"crc":"%08x","record":%s}\n' % (zlib.crc32(body), body)


def in_netns(pod: Pod, *command: str) -> str:
    """Run a command in a sandbox and return what it printed."""
    done = subprocess.run(["nsenter", f"--net={pod.netns}", *command], check=True, capture_output=True, text=True)
    return done.stdout


def stub(name: str = "pod-network", *, kind: str = "stub", version: str | None = "1.0.0", **keys: Any) -> Json:
    """A network conf of the recording stub."""
    made: Json = {"name": name, "type": kind} | keys
    return made | {"cniVersion": version} if version is not None else made


def chain(name: str, *plugins: Json, version: str = "1.0.0", **keys: Any) -> Json:
    """A conflist."""
    return {"cniVersion": version, "name": name, "plugins": list(plugins)} | keys
