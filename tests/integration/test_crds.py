"""What the API server makes of our CRDs: defaults, refusals, columns."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from mooring.installing.installations import InstallationSpec, Plugin
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
    ],
)
async def test_a_mistake_is_refused_with_its_place(client: Client, spec: dict[str, Any], told: str) -> None:
    with pytest.raises(errors.Invalid, match=told):
        await client.create(resources.INSTALLATIONS, installation(**spec))


@pytest.mark.parametrize("wanted", [3, "25%"])
async def test_a_number_of_nodes_is_an_integer_or_a_percentage(plane: ControlPlane, wanted: int | str) -> None:
    made = await dry_run(plane, installation(rollout={"maxUnavailable": wanted}))
    assert made["spec"]["rollout"]["maxUnavailable"] == wanted


@pytest.mark.parametrize(("path", "model"), [("spec", InstallationSpec), ("spec.plugin", Plugin)])
async def test_every_field_explains_itself(plane: ControlPlane, path: str, model: type[Model]) -> None:
    explained = plane.kubectl("explain", f"installation.{path}", "--recursive=false")
    for field in model.model_fields.values():
        assert field.description
        assert field.description in " ".join(explained.split()), field
