"""The programs of a cluster, built from pinned Go modules and cached.

Owns which programs there are and how they are built. Refuses to download binaries: sources come
through the Go module proxy, checked by each module's go.sum. A build takes minutes once (six on
two cores) and nothing later: entries are keyed by the module files, Go's version and the flags.

MOORING_TESTBED_VERSIONS=oldest makes everything here, and so clusters, of the oldest versions that Mooring names.
"""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

from testbed import cache, commands, failures, machine, progress

_HERE = Path(__file__).parent


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """One Go module here: the folder, what to build of it, and the names to call it by."""

    module: str
    target: str
    pinned: str
    variables: tuple[str, ...]
    tags: str = ""
    names: tuple[str, ...] = ()
    modfile: str = "go.mod"


KUBERNETES = Part(
    module="kubernetes",
    target=".",
    pinned="k8s.io/kubernetes",
    variables=(
        "k8s.io/component-base/version.gitVersion=v{version}",
        "k8s.io/component-base/version.gitMajor={major}",
        "k8s.io/component-base/version.gitMinor={minor}",
    ),
    names=(
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kube-proxy",
        "kubelet",
        "kubectl",
    ),
)
CONTAINERD = Part(
    module="containerd",
    target="tool",
    pinned="github.com/containerd/containerd/v2",
    variables=("github.com/containerd/containerd/v2/version.Version=v{version}",),
    tags="no_btrfs,no_devmapper,no_zfs",
)
CNI_PLUGINS = Part(
    module="cniplugins",
    target="tool",
    pinned="github.com/containernetworking/plugins",
    variables=("github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion=v{version}",),
)
# Their first releases: what ">= 1.33" and ">= 1.7" promise.
OLDEST_KUBERNETES = dataclasses.replace(KUBERNETES, modfile="oldest.mod")
OLDEST_CONTAINERD = Part(
    module="containerd",
    target="tool",
    pinned="github.com/containerd/containerd",
    variables=("github.com/containerd/containerd/version.Version=v{version}",),
    tags="no_btrfs,no_devmapper,no_zfs",
    modfile="oldest.mod",
)
KWOK = Part(
    module="kwok",
    target="tool",
    pinned="sigs.k8s.io/kwok",
    variables=("sigs.k8s.io/kwok/pkg/consts.Version=v{version}",),
)
PROMETHEUS = Part(
    module="prometheus",
    target="tool",
    pinned="github.com/prometheus/prometheus",
    variables=("github.com/prometheus/common/version.Version={version}",),
    # Ways to find targets, each with the library of a cloud: rules need none of them.
    tags="remove_all_sd",
)
# Both that people have: 4, which applies on the server's side, and 3, which does not. One module, because most of what
# they are made of is the same.
HELM_4 = Part(
    module="helm",
    target="helm.sh/helm/v4/cmd/helm",
    pinned="helm.sh/helm/v4",
    variables=("helm.sh/helm/v4/internal/version.version=v{version}",),
)
HELM_3 = Part(
    module="helm",
    target="helm.sh/helm/v3/cmd/helm",
    pinned="helm.sh/helm/v3",
    variables=(
        "helm.sh/helm/v3/internal/version.version=v{version}",
        # What `helm template` takes the cluster for; by itself a version that is years old.
        *(
            f"helm.sh/helm/v3/pkg/{package}.k8sVersion{part}"
            for package in ("chartutil", "lint/rules")
            for part in ("Major=1", "Minor=36")
        ),
    ),
)

MULTUS = Part(
    module="multus",
    target="tool",
    pinned="gopkg.in/k8snetworkplumbingwg/multus-cni.v4",
    variables=("gopkg.in/k8snetworkplumbingwg/multus-cni.v4/pkg/multus.version=v{version}",),
)


def oldest() -> bool:
    """Say whether the oldest versions are asked for. Raises Failure for a word that is neither."""
    chosen = os.environ.get("MOORING_TESTBED_VERSIONS", "newest")
    if chosen not in ("newest", "oldest"):
        raise failures.Failure(f"MOORING_TESTBED_VERSIONS={chosen}: write newest or oldest")
    return chosen == "oldest"


def version(part: Part) -> str:
    """Return the version that a part is built of, without the leading v."""
    return pinned_version((_HERE / part.module / part.modfile).read_text(), part.pinned)


def ensure() -> Path:
    """Build what is missing and return the folder of all programs; reference CNI plugins in its `cni`.

    Each version of helm is there by a name of its own, `helm3` and `helm4`. Raises Failure where Go is missing or a
    build fails.
    """
    cluster = (OLDEST_KUBERNETES, OLDEST_CONTAINERD) if oldest() else (KUBERNETES, CONTAINERD)
    folders = {part.module: build(part) for part in (*cluster, CNI_PLUGINS)}
    folders |= {"helm3": build(HELM_3), "helm4": build(HELM_4)}
    entry = cache.key(*(f"{module}={folder.name}" for module, folder in folders.items()))

    def link(folder: Path) -> None:
        for module in ("kubernetes", "containerd"):
            for program in folders[module].iterdir():
                (folder / program.name).symlink_to(program)
        (folder / "cni").symlink_to(folders["cniplugins"])
        for name in ("helm3", "helm4"):
            (folder / name).symlink_to(folders[name] / "helm")

    return cache.published("bin", entry, link)


def kubernetes() -> Path:
    """Return the folder with etcd, kube-apiserver, kubectl and the other parts, building if needed."""
    return build(OLDEST_KUBERNETES if oldest() else KUBERNETES)


def cni_plugins() -> Path:
    """Return the folder of the reference CNI plugins, building them if needed."""
    return build(CNI_PLUGINS)


def multus() -> Path:
    """Return the folder of Multus' programs, building them if needed: no cluster needs them, but tests of adoption."""
    return build(MULTUS)


def kwok() -> Path:
    """Return kwok, which plays kubelets for a benchmark; no cluster needs it."""
    return build(KWOK) / "kwok"


def promtool() -> Path:
    """Return Prometheus' own tool for alert rules, building it if needed; no cluster needs it."""
    return build(PROMETHEUS) / "promtool"


def build(part: Part) -> Path:
    """Return the folder of one part's programs, building them if they are not cached."""
    machine.require_go()
    module = _HERE / part.module
    number = version(part)
    major, minor, _ = number.split(".", 2)
    variables = [variable.format(version=number, major=major, minor=minor) for variable in part.variables]
    flags = " ".join(["-s", "-w", *(f"-X {variable}" for variable in variables)])
    modfiles = (part.modfile, part.modfile.replace(".mod", ".sum"))
    sources = [Path(file.name) for file in module.iterdir() if file.name.endswith(".go") or file.name in modfiles]
    entry = cache.key(
        cache.files_key(module, sources),
        commands.run(["go", "env", "GOVERSION", "GOARCH"], cwd=module),
        flags,
        part.tags,
        " ".join(part.names),
    )

    def make(folder: Path) -> None:
        progress.say(f"building {part.module} {number}: minutes at first, seconds where Go's build cache is warm")
        output = folder / part.module if part.target == "." else f"{folder}/"
        commands.run_logged(
            [
                "go",
                "build",
                "-trimpath",
                "-buildvcs=false",
                f"-modfile={part.modfile}",
                f"-tags={part.tags}",
                f"-ldflags={flags}",
                "-o",
                output,
                part.target,
            ],
            what=f"building {part.module}",
            log=cache.root() / "logs" / f"build-{part.module}.log",
            cwd=module,
            environment={"CGO_ENABLED": "0"},
        )
        for name in part.names:
            (folder / name).symlink_to(part.module)
        progress.say(f"built {part.module} {number}")

    return cache.published(part.module, entry, make)


def module_folder(part: Part, module: str) -> Path:
    """Return where the sources of a module are that a part requires. Raises Failure where they cannot be had."""
    return Path(commands.run(["go", "list", "-m", "-f", "{{.Dir}}", module], cwd=_HERE / part.module).strip())


def pinned_version(go_mod: str, module: str) -> str:
    """Return the version (no leading v) that a go.mod requires of a module.

    Raises ValueError where it does not require it.
    """
    found = re.search(rf"^\s*(?:require )?{re.escape(module)} v(\S+)", go_mod, re.MULTILINE)
    if found is None:
        raise ValueError(f"go.mod does not require {module}")
    return found.group(1)
