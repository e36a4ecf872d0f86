"""What the API server makes of our CRDs: defaults, refusals, columns."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pydantic
import pytest

from mooring.installing import crds
from mooring.installing.attachmentslices import HeldAttachment
from mooring.installing.conditions import Condition
from mooring.installing.installations import InstallationSpec, Toleration
from mooring.installing.nodestates import NodeStateStatus
from mooring.installing.pluginkeys import Plugin
from mooring.kube import errors, resources

if TYPE_CHECKING:
    from mooring.installing.models import Model
    from mooring.kube.client import Client
    from testbed.controlplane import ControlPlane

pytestmark = pytest.mark.usefixtures("kinds")


def installation(name: str = "default", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": resources.INSTALLATIONS.api_version,
        "kind": resources.INSTALLATIONS.kind,
        "metadata": {"name": name},
        "spec": spec,
    }


async def dry_run(plane: ControlPlane, body: dict[str, Any]) -> dict[str, Any]:
    text = plane.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(body))
    found: dict[str, Any] = json.loads(text)
    return found


async def test_an_installation_of_another_name_is_refused_in_words(client: Client) -> None:
    with pytest.raises(errors.Invalid, match="there is one Installation in a cluster, and its name is default"):
        await client.create(resources.INSTALLATIONS, installation("another"))


async def test_an_empty_installation_is_one_with_every_default(plane: ControlPlane) -> None:
    body = installation()
    del body["spec"]
    made = await dry_run(plane, body)
    assert InstallationSpec.model_validate(made["spec"]) == InstallationSpec()


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"paths": {"cniBinDir": "opt/cni/bin"}}, "spec.paths.cniBinDir"),
        ({"paths": {"preset": "k4s"}}, "spec.paths.preset"),
        ({"plugin": {"logLevel": "loud"}}, "spec.plugin.logLevel"),
        ({"plugin": {"maxNetworks": 0}}, "spec.plugin.maxNetworks"),
        ({"plugin": {"requireCapabilities": "sometimes"}}, "spec.plugin.requireCapabilities"),
        ({"plugin": {"keepClusterRoutes": ["services"]}}, "spec.plugin.keepClusterRoutes"),
        ({"plugin": {"auxiliaryCNIChainName": "../vendor"}}, "spec.plugin.auxiliaryCNIChainName"),
        ({"rollout": {"maxUnavailable": "many"}}, "spec.rollout.maxUnavailable"),
        ({"rollout": {"maxUnavailable": -1}}, "spec.rollout.maxUnavailable"),
        ({"rollout": {"canary": {"nodes": -1}}}, "spec.rollout.canary.nodes"),
        ({"admission": {"severities": {"MR101": "Maybe"}}}, "spec.admission.severities.MR101"),
        ({"admission": {"severities": {"MR1101": "Warn"}}}, "spec.admission.severities.*there is no rule MR1101"),
        ({"paths": {"cniBinDir": "/opt/../etc"}}, "spec.paths.cniBinDir.*write the path without .."),
        ({"paths": {"stateDir": "/.."}}, "spec.paths.stateDir.*write the path without .."),
        ({"plugin": {"confDir": "/etc/cni/.."}}, "spec.plugin.confDir.*write the path without .."),
        ({"plugin": {"logOptions": {"maxAge": 1}}}, "spec.plugin.*logOptions rotates a logFile"),
        ({"plugin": {"readinessTimeout": 5}}, "spec.plugin.*readinessTimeout is for a readinessIndicatorFile"),
        ({"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}, r"spec.tolerations\[0\].*has no value"),
        ({"tolerations": [{"effect": "NoSchedule"}]}, r"spec.tolerations\[0\].*without a key"),
        (
            {"tolerations": [{"key": "a", "effect": "NoSchedule", "tolerationSeconds": 3}]},
            r"spec.tolerations\[0\].*is for effect NoExecute",
        ),
        ({"agent": {"resources": {"limits": {"memory": "1 GB"}}}}, "spec.agent.resources.limits.memory"),
        ({"agent": {"resources": {"requests": {"cpu": -1}}}}, "spec.agent.resources.requests.cpu"),
    ],
)
async def test_a_mistake_is_refused_with_its_place(client: Client, spec: dict[str, Any], told: str) -> None:
    with pytest.raises(errors.Invalid, match=told):
        await client.create(resources.INSTALLATIONS, installation(**spec))
    # One that came in before the rule is refused by the operator.
    with pytest.raises(pydantic.ValidationError):
        InstallationSpec.model_validate(spec)


async def test_all_mistakes_of_form_are_told_at_once(client: Client) -> None:
    spec: dict[str, Any] = {
        "paths": {"preset": "k4s"},
        "plugin": {"maxNetworks": 0},
        "rollout": {"canary": {"nodes": -1}},
        "admission": {"severities": {"MR110": "Maybe"}},
    }
    with pytest.raises(errors.Invalid) as caught:
        await client.create(resources.INSTALLATIONS, installation(**spec))
    for told in ("paths.preset", "plugin.maxNetworks", "rollout.canary.nodes", "admission.severities.MR110"):
        assert f"spec.{told}" in caught.value.message


async def test_all_mistakes_against_rules_are_told_at_once(client: Client) -> None:
    spec: dict[str, Any] = {
        "paths": {"cniBinDir": "/a/../b"},
        "plugin": {"logOptions": {}, "readinessTimeout": 3},
        "admission": {"severities": {"MR999": "Warn"}},
        "tolerations": [{"effect": "NoSchedule"}],
    }
    with pytest.raises(errors.Invalid) as caught:
        await client.create(resources.INSTALLATIONS, installation(**spec))
    for told in (
        "write the path without ..",
        "logOptions rotates a logFile",
        "readinessTimeout is for a readinessIndicatorFile",
        "there is no rule MR999",
        "a toleration without a key",
    ):
        assert told in caught.value.message


async def test_what_is_right_is_taken_by_both(plane: ControlPlane) -> None:
    spec: dict[str, Any] = {
        "paths": {"cniBinDir": "/opt/cni/..bin", "stateDir": "/var/lib/mooring"},
        "plugin": {"logFile": "/var/log/a..b.log", "logOptions": {"maxAge": 1}},
        "tolerations": [{"operator": "Exists"}, {"key": "a", "effect": "NoExecute", "tolerationSeconds": 3}],
        "agent": {"resources": {"requests": {"cpu": 1, "memory": "1e8"}, "limits": {"memory": "0.5Gi"}}},
        "admission": {"severities": {"MR110": "Enforce", "MR306": "Warn"}},
    }
    made = await dry_run(plane, installation(**spec))
    assert InstallationSpec.model_validate(made["spec"]) == InstallationSpec.model_validate(spec)


async def test_the_state_folder_stays_where_it_is_and_all_else_may_change(client: Client) -> None:
    await client.create(resources.INSTALLATIONS, installation())
    try:
        await client.patch(resources.INSTALLATIONS, "default", {"spec": {"paths": {"cniBinDir": "/opt/bin"}}})
        with pytest.raises(errors.Invalid, match="stateDir stays as it is"):
            await client.patch(resources.INSTALLATIONS, "default", {"spec": {"paths": {"stateDir": "/srv/mooring"}}})
        await client.patch(resources.INSTALLATIONS, "default", {"spec": {"paths": None}})
    finally:
        await client.delete(resources.INSTALLATIONS, "default")


@pytest.mark.parametrize("short", ["minst", "mns", "aslice"])
async def test_a_short_name_is_enough(plane: ControlPlane, short: str) -> None:
    plane.kubectl("get", short)


@pytest.mark.parametrize("wanted", [3, "25%"])
async def test_a_number_of_nodes_is_an_integer_or_a_percentage(plane: ControlPlane, wanted: int | str) -> None:
    made = await dry_run(plane, installation(rollout={"maxUnavailable": wanted}))
    assert made["spec"]["rollout"]["maxUnavailable"] == wanted


@pytest.mark.parametrize("kind", sorted(crds.definitions()))
async def test_each_kind_explains_itself(plane: ControlPlane, kind: str) -> None:
    definition = crds.definitions()[kind]
    explained = " ".join(plane.kubectl("explain", definition["spec"]["names"]["singular"]).split())
    assert definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] in explained
    assert "<no description>" not in explained


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("installation.spec", InstallationSpec),
        ("installation.spec.plugin", Plugin),
        ("installation.spec.tolerations", Toleration),
        ("installation.status.conditions", Condition),
        ("nodestate.status", NodeStateStatus),
        ("attachmentslice.attachments", HeldAttachment),
    ],
)
async def test_every_field_explains_itself(plane: ControlPlane, path: str, model: type[Model]) -> None:
    explained = plane.kubectl("explain", path, "--recursive=false")
    for field in model.model_fields.values():
        assert field.description
        assert field.description in " ".join(explained.split()), field
