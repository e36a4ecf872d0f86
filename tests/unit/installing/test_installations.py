"""The Installation can say every key of the conf that is an administrator's, and nothing that the plugin refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pydantic
import pytest

from mooring.installing import confs, renderers
from mooring.installing.pluginkeys import LogOptions, Plugin

KEYS = {
    each["key"]: each["setBy"]
    for each in json.loads((Path(__file__).parents[3] / "plugin/contract/conf-keys.json").read_text())
}
EVERYTHING = {
    "logLevel": "debug",
    "logFile": "/var/log/mooring.log",
    "logToStderr": False,
    "logOptions": {"maxAge": 1, "maxSize": 2, "maxBackups": 3, "compress": False},
    "namespaceIsolation": True,
    "globalNamespaces": ["default", "shared"],
    "systemNamespaces": ["kube-system"],
    "defaultNetworks": ["storage"],
    "multusNamespace": "networks",
    "confDir": "/etc/networks",
    "readinessIndicatorFile": "/run/ready",
    "readinessTimeout": 10,
    "delegateTimeout": 20,
    "maxNetworks": 8,
    "requireCapabilities": True,
    "keepClusterRoutes": ["10.96.0.0/12", "fd00::/108"],
    "statusBeforeStart": True,
    "auxiliaryCNIChainName": "vendor",
}


def said(**plugin: object) -> dict[str, object]:
    return Plugin.model_validate(plugin).conf_keys()


def set_by(who: str) -> set[str]:
    return {key for key, setter in KEYS.items() if setter == who}


def test_every_key_that_is_an_administrator_s_can_be_said_and_no_other() -> None:
    keys = set(said(**EVERYTHING))
    keys |= {f"logOptions.{name}" for name in LogOptions().to_wire()}
    assert keys == set_by("installation")
    assert len(Plugin.model_fields) == len(EVERYTHING)


def test_every_key_that_is_the_agent_s_is_rendered_and_cannot_be_said() -> None:
    primary = confs.read("a.conf", '{"name": "x", "type": "bridge"}')
    chain = {"cniVersion": "1.0.0", "name": "vendor", "plugins": [{"type": "tuning"}]}
    theirs = dict.fromkeys((*set_by("agent"), "type", "clusterNetwork", "auxiliaryCNIChainName"), "theirs")
    theirs.pop("capabilities")  # of these the Installation may know more than the primary network
    rendered = json.loads(
        renderers.render(
            renderers.NEWEST,
            renderers.Content(primary, bin_dir="/b", state_dir="/s", kubeconfig="/k", plugin=theirs, auxiliary=chain),
        )
    )
    assert set(rendered) == set_by("agent") | {"type"}
    assert "theirs" not in rendered.values()


@pytest.mark.parametrize("setter", sorted(set(KEYS.values())))
def test_setters_are_known(setter: str) -> None:
    assert setter in {"installation", "agent", "runtime", "nobody"}


def test_what_is_not_said_is_left_to_the_plugin() -> None:
    assert said() == {"logLevel": "error", "namespaceIsolation": False}


@pytest.mark.parametrize("value", [True, False])
def test_capabilities_are_required_or_not_or_it_is_left_open(value: bool) -> None:
    assert said(requireCapabilities=value)["requireCapabilities"] is value


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("maxNetworks", 0),
        ("maxNetworks", 1025),
        ("readinessTimeout", 0),
        ("readinessTimeout", 3601),
        ("delegateTimeout", 0),
        ("requireCapabilities", "yes please"),
        ("keepClusterRoutes", ["10.96.0.0"]),
        ("keepClusterRoutes", ["10.96.0.0/255.240.0.0"]),
        ("keepClusterRoutes", ["10.96.0.0/08"]),
        ("keepClusterRoutes", ["10.96.0.0/33"]),
        ("keepClusterRoutes", ["fe80::1%eth0/64"]),
        ("keepClusterRoutes", ["services"]),
        ("auxiliaryCNIChainName", "../vendor"),
        ("confDir", "relative"),
    ],
)
def test_what_the_plugin_would_refuse_is_refused(key: str, value: object) -> None:
    with pytest.raises(pydantic.ValidationError, match=key.split("[")[0]):
        said(**{key: value})
