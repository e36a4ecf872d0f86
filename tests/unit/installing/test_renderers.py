"""Each renderer writes for ever what it wrote first, and a revision names the one that makes its conf."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.installing import cniversions, confs, renderers

EXAMPLES = Path(__file__).parents[3] / "operator" / "contract" / "confs"
PRIMARY: dict[str, Any] = {
    "cniVersion": "0.3.1",
    "name": "cbr0",
    "plugins": [
        {"type": "flannel", "delegate": {"hairpinMode": True}, "note": "\ud800 é"},
        {"type": "portmap", "capabilities": {"portMappings": True, "off": False}},
    ],
}
EVERYTHING = renderers.Content(
    confs.Primary("cbr0", "10-flannel.conflist", PRIMARY),
    bin_dir="/opt/cni/bin",
    state_dir="/var/lib/mooring",
    kubeconfig="/etc/cni/net.d/mooring.d/kubeconfig",
    plugin={
        "logLevel": "debug",
        "globalNamespaces": "default,shared",
        "capabilities": {"mac": True},
        "auxiliaryCNIChainName": "vendor",
        "type": "x",
        "delegates": [],
        "kubeconfig": "y",
    },
    auxiliary={"cniVersion": "1.0.0", "name": "vendor", "disableCheck": True, "plugins": [{"type": "tuning"}]},
    cni_version="1.1.0",
)


def test_every_renderer_has_its_example_and_there_is_no_other() -> None:
    names = {path.name for path in EXAMPLES.iterdir()}
    assert names == {f"renderer-{number}.conf" for number in range(1, renderers.NEWEST + 1)}


@pytest.mark.parametrize("renderer", range(1, renderers.NEWEST + 1))
def test_a_renderer_writes_what_it_wrote_first(renderer: int) -> None:
    assert renderers.render(renderer, EVERYTHING) == (EXAMPLES / f"renderer-{renderer}.conf").read_bytes()


def test_the_first_says_1_0_0_whatever_the_runtime_parses_and_the_second_says_that() -> None:
    said = {
        number: [
            json.loads(renderers.render(number, dataclasses.replace(EVERYTHING, cni_version=version)))["cniVersion"]
            for version in ("0.4.0", "1.0.0", "1.1.0")
        ]
        for number in (1, 2)
    }
    assert said == {1: ["1.0.0"] * 3, 2: ["0.4.0", "1.0.0", "1.1.0"]}


def test_the_conf_has_the_one_form() -> None:
    assert json.loads(renderers.render(1, EVERYTHING)) == {
        "cniVersion": "1.0.0",
        "name": "multus-cni-network",
        "type": "mooring",
        "capabilities": {"io.kubernetes.cri.pod-annotations": True, "mac": True, "portMappings": True},
        "binDir": "/opt/cni/bin",
        "cniDir": "/var/lib/mooring",
        "kubeconfig": "/etc/cni/net.d/mooring.d/kubeconfig",
        "logLevel": "debug",
        "globalNamespaces": "default,shared",
        "delegates": [PRIMARY],
        "auxiliaryChain": EVERYTHING.auxiliary,
    }


def test_the_same_input_gives_the_same_bytes() -> None:
    one, other = (
        renderers.render(renderers.NEWEST, dataclasses.replace(EVERYTHING, plugin=plugin))
        for plugin in ({"a": 1, "b": 2}, {"b": 2, "a": 1})
    )
    assert one == other


def test_a_renderer_of_a_later_version_is_refused() -> None:
    later = renderers.NEWEST + 1
    assert not renderers.known(later)
    with pytest.raises(renderers.UnknownRendererError, match=f"by renderer {later}, and this version knows"):
        renderers.render(later, EVERYTHING)


@pytest.mark.parametrize(
    ("runtime", "version", "cni"),
    [
        ("containerd", "v2.4.2", "1.1.0"),
        ("containerd", "v2.0.0", "1.1.0"),
        ("containerd", "2.1.4-k3s1", "1.1.0"),
        ("containerd", "v1.7.29", "1.0.0"),
        ("containerd", "1.6.20~ds1", "1.0.0"),
        ("containerd", "1.5.18", "0.4.0"),
        ("cri-o", "1.30.0", "1.0.0"),
        ("cri-o", "1.31.0", "1.1.0"),
        ("cri-o", "1.35.0-dev", "1.1.0"),
        ("docker", "28.0.1", "1.0.0"),
        ("containerd", "", "1.0.0"),
        ("containerd", "main", "1.0.0"),
        ("Containerd", "v2.4.2", "1.0.0"),
    ],
)
def test_a_runtime_gets_the_highest_version_that_it_parses_and_an_unknown_one_what_all_do(
    runtime: str, version: str, cni: str
) -> None:
    assert cniversions.highest(runtime, version) == cni


@given(runtime=st.text() | st.sampled_from(["containerd", "cri-o"]), version=st.text(alphabet="v0123456789.-x\n٣"))
def test_no_answer_of_a_runtime_makes_it_a_version_that_nobody_knows(runtime: str, version: str) -> None:
    assert cniversions.highest(runtime, version) in {"0.4.0", "1.0.0", "1.1.0"}
