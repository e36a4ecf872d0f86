"""The plugin and the programs of the tests, built once; a node for each test; an API server where one is asked for.

MOORING_PLUGIN names a plugin to test instead of the one that these sources build.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed import binaries, controlplane
from testbed import plugin as building
from tests import rights
from tests.conformance import apiservers, kubelets
from tests.conformance import node as nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


PROGRAMS = ("stub", "killer")


@pytest.fixture(scope="session", autouse=True)
def _root() -> None:
    """Say at once what would otherwise fail in every test."""
    if os.geteuid() != 0:
        pytest.fail("the conformance tests make network namespaces: run them as root", pytrace=False)


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the recording stub plugin and of the killer."""
    folder = tmp_path_factory.mktemp("programs")
    for program in PROGRAMS:
        subprocess.run(
            ["go", "build", "-ldflags", "-s -w", "-o", str(folder / program), "."],
            cwd=Path(__file__).parent / program,
            check=True,
            env=os.environ | {"CGO_ENABLED": "0"},
        )
    return folder


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The meta-plugin under test."""
    chosen = os.environ.get("MOORING_PLUGIN")
    if chosen:
        return Path(chosen).absolute()
    folder = tmp_path_factory.mktemp("plugin")
    return building.build(folder, version="1.2.3", commit="abcdef0", date="2026-01-02T03:04:05Z")


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of the reference plugins."""
    return binaries.cni_plugins()


@pytest.fixture
def node(tmp_path: Path, plugin: Path, programs: Path, reference: Path) -> Iterator[nodes.Node]:
    """A node of this test alone, whose cache is fresh."""
    made = nodes.Node(tmp_path, plugin, programs, reference)
    made.beat()
    yield made
    made.close()


@pytest.fixture(scope="session")
def kubelet_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program with a kubelet's pod-resources socket."""
    built = tmp_path_factory.mktemp("kubelet") / "kubelet"
    subprocess.run(
        ["go", "build", "-trimpath", "-o", str(built), "."],
        cwd=Path(__file__).parent / "kubelet",
        check=True,
        env=os.environ | {"CGO_ENABLED": "0"},
    )
    return built


@pytest.fixture(scope="session")
def consumer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that reads network-status with the library that most Go programs use."""
    return _others("consumer", ".", tmp_path_factory)


@pytest.fixture(scope="session")
def passthru(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Multus' own plugin that does nothing, which chains begin with."""
    return _others("passthru", "gopkg.in/k8snetworkplumbingwg/multus-cni.v4/cmd/passthru-cni", tmp_path_factory)


def _others(name: str, package: str, folders: pytest.TempPathFactory) -> Path:
    built = folders.mktemp(name) / name
    subprocess.run(
        ["go", "build", "-trimpath", "-o", str(built), package],
        cwd=Path(__file__).parent / "consumer",
        check=True,
        env=os.environ | {"CGO_ENABLED": "0"},
    )
    return built


@pytest.fixture
def kubelet(node: nodes.Node, kubelet_program: Path) -> Iterator[kubelets.Kubelet]:
    """A kubelet of this node; it has no socket until it is asked to listen."""
    made = kubelets.Kubelet(node, kubelet_program)
    yield made
    made.close()


@pytest.fixture(scope="session")
def plane() -> Iterator[controlplane.ControlPlane]:
    """A real API server that knows NetworkAttachmentDefinitions and the plugin's own rights."""
    with controlplane.running() as running, rights.kept("conformance", running.audit_log, whole=False):
        apiservers.prepare(running)
        yield running


@pytest.fixture
def server(plane: controlplane.ControlPlane, node: nodes.Node) -> Iterator[apiservers.Server]:
    """The API server as this node's plugin reaches it, with a namespace of the test's own."""
    assert node.netns is not None
    reach = apiservers.Reach(plane, node.netns)
    yield apiservers.Server(plane)
    reach.close()
