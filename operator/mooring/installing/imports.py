"""The configuration of a Multus as an Installation says it: owns what its keys and flags become, and what they cannot.

Pure: a DaemonSet and the ConfigMaps that its pods mount come in, a part of an Installation's spec and findings go out.
Paths inside of Multus' container become the node's by its mounts. Refuses to guess: what has no counterpart is a
finding, and one by which pods would be left behind blocks the adoption.
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import TYPE_CHECKING, Any

import pydantic

from mooring.installing import adoptions, distributions, multus
from mooring.installing.installations import InstallationSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mooring.installing.adoptions import DaemonSet

_DAEMON_CONF = "/etc/cni/net.d/multus.d/daemon-config.json"
# As the kubelet expands them: `$$` is a dollar.
_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")
_CONF_DIR = "/etc/cni/multus/net.d"
_LEVELS = ("debug", "verbose", "error", "panic")
# What an Installation does anyway, or what is about Multus' own parts.
_NOTHING_TO_CARRY = frozenset(
    {
        *("cniVersion", "name", "type", "kubeconfig", "capabilities", "retryDeleteOnError", "chrootDir", "socketDir"),
        *("daemonSocketDir", "multusConfigFile", "clusterNetwork", "logOptions"),
    }
)
_INSTEAD = {
    "metricsPort": "the agents have metrics of their own: spec.agent.metricsPort",
    "enablePprof": "there is nothing of the kind",
    "connectionLimit": "there is no daemon on the way of a pod whose connections could be limited",
    "perNodeCertificate": "the plugin has a token of its own, bound to its node and renewed",
    "overrideNetworkName": "the runtime's network is always called multus-cni-network",
    "forceCNIVersion": "the primary network's file is left as it is",
    "skipTLSVerify": "the API server's certificate is always verified",
}
# Flags of the thin one's entrypoint, by the key of the conf that they write.
_FLAGS = {
    "multus-master-cni-file-name": "multusMasterCNI",
    "namespace-isolation": "namespaceIsolation",
    "global-namespaces": "globalNamespaces",
    "multus-log-to-stderr": "logToStderr",
    "multus-log-level": "logLevel",
    "multus-log-file": "logFile",
    "readiness-indicator-file": "readinessindicatorfile",
    "additional-bin-dir": "binDir",
    "override-network-name": "overrideNetworkName",
    "force-cni-version": "forceCNIVersion",
    "skip-tls-verify": "skipTLSVerify",
    "rename-conf-file": "renameConfFile",
}
_PLACES = {"cni-conf-dir": "cniConfigDir", "cni-bin-dir": "cniBinDir", "multus-autoconfig-dir": "multusAutoconfigDir"}
_SWITCHES = frozenset(
    {"namespace-isolation", "override-network-name", "force-cni-version", "skip-tls-verify", "rename-conf-file"}
)


# What is no text, by its key: a flag, a list of texts, or a list of objects.
_KINDS: dict[str, type] = {
    "namespaceIsolation": bool,
    "logToStderr": bool,
    "renameConfFile": bool,
    "systemNamespaces": list,
    "defaultNetworks": list,
    "delegates": dict,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """A setting that is not carried over; `blocking`: with it the adoption does not begin."""

    key: str
    message: str
    blocking: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Import:
    """What becomes of a Multus' configuration: a part of an Installation's spec, and what is not in it."""

    spec: dict[str, Any]
    findings: tuple[Finding, ...]


def config_maps(daemon_set: DaemonSet) -> list[str]:
    """Return the names of the ConfigMaps that its pods mount."""
    return sorted({each["configMap"]["name"] for each in _volumes(daemon_set) if each.get("configMap")})


def read(daemon_set: DaemonSet, mounted: Mapping[str, Mapping[str, str] | None]) -> Import:
    """Return what its configuration becomes; `mounted` is the data of each ConfigMap, None of one that is not there."""
    return _Reading(daemon_set, mounted).read()


def besides(
    found: Import, spec: Mapping[str, Any], defaults: Mapping[str, Any], manifests: Sequence[Mapping[str, Any]] = ()
) -> Import:
    """Return what of it goes into a spec: what the spec says itself stays, and is a finding where it differs.

    A value that is the default's counts as said where one of the `manifests` (`adoptions.written`) says it.
    """
    added: dict[str, Any] = {}
    findings = list(found.findings)
    for path, value in _leaves(found.spec):
        said, default = _at(spec, path), _at(defaults, path)
        if said is None or (said == default and not any(_holds(each, path) for each in manifests)):
            if value != default:
                _put(added, path, value)
        elif said != value:
            name = ".".join(path)
            told = f"spec.{name} says {json.dumps(said)} and stays; Multus has {json.dumps(value)}"
            findings.append(Finding(name, told))
    said_network = spec.get("defaultNetwork") not in (None, defaults.get("defaultNetwork"))
    kept = tuple(
        dataclasses.replace(each, blocking=False) if each.key == "delegates" and said_network else each
        for each in findings
    )
    return Import(added, kept)


class _Reading:
    def __init__(self, daemon_set: DaemonSet, mounted: Mapping[str, Mapping[str, str] | None]) -> None:
        self._daemon_set = daemon_set
        self._mounted = mounted
        self._pod = daemon_set.item["spec"]["template"]["spec"]
        self._container = daemon_set.container
        self._spec: dict[str, Any] = {}
        self._findings: list[Finding] = []

    def read(self) -> Import:
        flags = self._flags()
        conf = self._thick(flags) if self._daemon_set.form == "Thick" else self._thin(flags)
        for key in sorted(conf):
            self._carry(key, conf)
        selector = self._pod.get("nodeSelector")
        if selector:
            self._spec["nodeSelector"] = dict(selector)
        try:
            InstallationSpec.model_validate(self._spec)
        except pydantic.ValidationError as error:
            for each in error.errors():
                self._find(".".join(map(str, each["loc"])), f"an Installation refuses it: {each['msg']}", blocking=True)
        return Import(self._spec, tuple(self._findings))

    def _flags(self) -> dict[str, str]:
        command, args = self._container.get("command") or [], self._container.get("args") or []
        if not adoptions.runs_multus(self._container):
            told = f"its container runs {adoptions.program(self._container) or args[0]}, so Multus' flags are not known"
            self._find("command", f"{told}: have it run thin_entrypoint or multus-daemon by itself", blocking=True)
            return {}
        words = [self._expanded(str(each)) for each in [*command[1:], *args]]
        found: dict[str, str] = {}
        while words:
            word = words.pop(0)
            if not word.startswith("-"):
                continue
            name, equals, value = word.lstrip("-").partition("=")
            if not equals and words and not words[0].startswith("-") and name not in _SWITCHES:
                value = words.pop(0)
            found[name] = value if equals or value else "true"
        return found

    def _expanded(self, word: str) -> str:
        """Return a word with the environment's values in it; one that the DaemonSet does not hold blocks."""
        env = {each["name"]: each.get("value") for each in self._container.get("env") or []}

        def value(reference: re.Match[str]) -> str:
            if reference[0] == "$$":
                return "$"
            given = env.get(reference[1])
            if given is None or _REFERENCE.search(given):
                told = f"{word} takes {reference[1]} from the environment, and the DaemonSet has no plain value of it"
                self._find(word.lstrip("-").partition("=")[0], f"{told}: write the value there", blocking=True)
                return reference[0]
            return str(given)

        return _REFERENCE.sub(value, word)

    def _thick(self, flags: Mapping[str, str]) -> dict[str, Any]:
        conf = self._file(flags.get("config", _DAEMON_CONF))
        conf.setdefault("cniConfigDir", "/etc/cni/net.d")
        conf.setdefault("cniDir", multus.STATE_DIR)
        # The daemon runs what it is told in the node's root, but logs and looks in its own.
        for key in ("cniConfigDir", "multusAutoconfigDir", "cniDir", "confDir", "readinessindicatorfile", "logFile"):
            if isinstance(conf.get(key), str):
                conf[key] = self._on_node(key, conf[key])
        return conf

    def _thin(self, flags: Mapping[str, str]) -> dict[str, Any]:
        chosen = flags.get("multus-conf-file", "auto")
        conf = {} if chosen == "auto" else self._file(chosen)
        conf["multusConfigFile"] = chosen
        for flag, key in _FLAGS.items():
            if flag in flags and (chosen == "auto" or flag == "rename-conf-file"):
                value = flags[flag]
                conf[key] = value.lower() == "true" if value.lower() in ("true", "false") else value
        for flag, key in _PLACES.items():
            if flag in flags:
                conf[key] = self._on_node(key, flags[flag])
        return conf

    def _file(self, path: str) -> dict[str, Any]:
        """Return the JSON object of a file that is mounted from a ConfigMap."""
        sources = {each["name"]: each["configMap"] for each in _volumes(self._daemon_set) if each.get("configMap")}
        for mount in self._container.get("volumeMounts") or []:
            source = sources.get(mount["name"])
            if source is not None:
                data = self._mounted.get(source["name"])
                names = {each["path"]: each["key"] for each in source.get("items") or []}
                inside = path.removeprefix(mount["mountPath"].rstrip("/") + "/")
                if inside == path:
                    continue
                where = f"ConfigMap {self._daemon_set.namespace}/{source['name']}"
                if data is None:
                    self._find(path, f"{where} cannot be read, and it holds the configuration", blocking=True)
                    return {}
                text = data.get(names.get(inside, inside))
                try:
                    conf = json.loads(text or "")
                    if isinstance(conf, dict):
                        return conf
                except (ValueError, RecursionError):
                    pass
                self._find(path, f"{where} holds no JSON object for it", blocking=True)
                return {}
        self._find(path, "it is not mounted from a ConfigMap, so what it says is not known", blocking=True)
        return {}

    def _on_node(self, key: str, path: str) -> str:
        """Return the node's path of one inside of the container; one that no mount covers stays, and is told."""
        volumes = {each["name"]: (each.get("hostPath") or {}).get("path") for each in _volumes(self._daemon_set)}
        best: tuple[int, str] | None = None
        for mount in self._container.get("volumeMounts") or []:
            root, host = mount["mountPath"].rstrip("/"), volumes.get(mount["name"])
            if host and (path.rstrip("/") == root or path.startswith(f"{root}/")):
                there = (host.rstrip("/") + path.rstrip("/")[len(root) :]) or "/"
                best = max(best or (-1, ""), (len(root), there))
        if best is None:
            if key == "logFile":
                self._find(key, f"{path} is a file of its container, not of the node")
                return ""
            return path
        return best[1]

    def _carry(self, key: str, conf: Mapping[str, Any]) -> None:
        value = conf[key]
        if value in (None, "", [], {}):
            return
        if key not in _NOTHING_TO_CARRY and key not in _INSTEAD and not _is(value, _KINDS.get(key, str)):
            self._find(key, f"{json.dumps(value)[:200]} is nothing that Mooring knows")
            return
        known: dict[str, Callable[[Any], None]] = {
            "namespaceIsolation": lambda flag: self._plugin(key, flag is True) if flag is True else None,
            "globalNamespaces": lambda text: self._plugin(key, [each.strip() for each in str(text).split(",")]),
            "systemNamespaces": lambda names: self._plugin(key, names),
            "defaultNetworks": lambda names: self._plugin(key, names),
            "multusNamespace": lambda name: self._plugin(key, name),
            "auxiliaryCNIChainName": lambda name: self._plugin(key, name),
            "readinessindicatorfile": lambda path: self._plugin("readinessIndicatorFile", path),
            "confDir": lambda path: self._plugin(key, path) if path != _CONF_DIR else None,
            "logToStderr": lambda flag: self._plugin(key, flag) if flag is False else None,
            "logFile": lambda path: self._log_file(path, conf),
            "logLevel": self._log_level,
            "multusMasterCNI": lambda name: self._spec.__setitem__("defaultNetwork", name),
            "delegates": self._delegates,
            "cniDir": self._cni_dir,
            "renameConfFile": self._renamed,
            "cniConfigDir": lambda path: self._path("cniConfDir", path),
            "cniBinDir": lambda path: self._path("cniBinDir", path),
            "multusAutoconfigDir": lambda path: self._autoconfig(path, conf),
            "binDir": self._bin_dir,
        }
        if key in known:
            known[key](value)
        elif key in _INSTEAD:
            if value is not False:
                self._find(key, f"{json.dumps(value)} is not carried over: {_INSTEAD[key]}")
        elif key == "clusterNetwork" and conf.get("multusConfigFile", "auto") != "auto":
            self._cluster_network(str(value), conf)
        elif key not in _NOTHING_TO_CARRY:
            self._find(key, f"{json.dumps(value)[:200]} is nothing that Mooring knows")

    def _plugin(self, key: str, value: Any) -> None:
        self._spec.setdefault("plugin", {})[key] = value

    def _path(self, key: str, path: str) -> None:
        if path.rstrip("/") != distributions.DEFAULT[key]:
            self._spec.setdefault("paths", {})[key] = path.rstrip("/")

    def _find(self, key: str, message: str, *, blocking: bool = False) -> None:
        self._findings.append(Finding(key, message, blocking))

    def _log_level(self, level: Any) -> None:
        if str(level).lower() in _LEVELS:
            self._plugin("logLevel", str(level).lower())
        else:
            self._find("logLevel", f"{level!r} is none of {', '.join(_LEVELS)}")

    def _log_file(self, path: str, conf: Mapping[str, Any]) -> None:
        self._plugin("logFile", path)
        options = conf.get("logOptions")
        if isinstance(options, dict):
            self._plugin("logOptions", {key: options[key] for key in sorted(options) if options[key] is not None})

    def _delegates(self, delegates: list[dict[str, Any]]) -> None:
        name = delegates[0].get("name", "")
        told = f"the default network {name} stands in its configuration itself; name the file that holds it, or a "
        self._find("delegates", f"{told}NetworkAttachmentDefinition, in spec.defaultNetwork", blocking=True)
        if len(delegates) > 1:
            self._find("delegates[1:]", "further networks for every pod: name them in spec.plugin.defaultNetworks")

    def _cluster_network(self, name: str, conf: Mapping[str, Any]) -> None:
        folder = str(conf.get("cniConfigDir") or distributions.DEFAULT["cniConfDir"]).rstrip("/")
        if name.startswith("/"):
            file = self._on_node("clusterNetwork", name)
            if file.rpartition("/")[0] == folder:
                self._spec["defaultNetwork"] = file.rpartition("/")[2]
            else:
                self._find("clusterNetwork", f"{file} is not in {folder}: put its file there", blocking=True)
        else:
            self._spec["defaultNetwork"] = f"{conf.get('multusNamespace') or 'kube-system'}/{name}"

    def _cni_dir(self, path: str) -> None:
        if path.rstrip("/") != multus.STATE_DIR:
            told = f"it keeps what its pods are attached to in {path}, and only {multus.STATE_DIR} is looked into: the "
            self._find("cniDir", f"{told}networks of pods that run now would never be undone", blocking=True)

    def _renamed(self, value: Any) -> None:
        if value is True:
            told = "it renamed the primary network's file to *.old: stop that, and let the network write its file again"
            self._find("rename-conf-file", told, blocking=True)

    def _autoconfig(self, path: str, conf: Mapping[str, Any]) -> None:
        folder = str(conf.get("cniConfigDir") or distributions.DEFAULT["cniConfDir"]).rstrip("/")
        if path.rstrip("/") != folder:
            told = f"the primary network is looked for in {path}, and Mooring looks in the runtime's folder {folder}"
            self._find("multusAutoconfigDir", told, blocking=True)

    def _bin_dir(self, path: str) -> None:
        if path.rstrip("/") != distributions.DEFAULT["cniBinDir"]:
            told = f"plugins are looked for in {path} first; those that networks need must be in spec.paths.cniBinDir, "
            self._find("binDir", f"{told}or in a folder that the runtime looks into")


def _is(value: Any, kind: type) -> bool:
    if kind in (list, dict):
        return isinstance(value, list) and all(isinstance(each, str if kind is list else dict) for each in value)
    return isinstance(value, kind)


def _volumes(daemon_set: DaemonSet) -> list[Mapping[str, Any]]:
    return list(daemon_set.item["spec"]["template"]["spec"].get("volumes") or [])


def _leaves(value: Mapping[str, Any], path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Return what stands at the ends; labels of nodes and options of a log belong together."""
    found: list[tuple[tuple[str, ...], Any]] = []
    for key, each in value.items():
        whole = key in ("nodeSelector", "logOptions")
        found += _leaves(each, (*path, key)) if isinstance(each, dict) and not whole else [((*path, key), each)]
    return found


def _holds(value: Any, path: tuple[str, ...]) -> bool:
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return True


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return None if value == {} else value


def _put(target: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        target = target.setdefault(key, {})
    target[path[-1]] = value
