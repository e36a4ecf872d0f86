"""The networks of a live cluster are judged like files, and nothing is written there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from mooring.cli import cluster, lint
from mooring.cli.main import main
from mooring.kube import errors, resources

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mooring.kube.client import Client

CONFIG = '{\n  "cniVersion": "1.0.0",\n  "type": "bridge",\n  "vlan": 5000\n}\n'


def network(name: str, config: str = CONFIG) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": "1",
            "managedFields": [{"manager": "kubectl"}],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "yes"},
        },
        "spec": {"config": config},
    }


class Reading:
    """A client that can only read: two pages of networks, and an Installation or an error."""

    def __init__(self, installation: dict[str, Any] | errors.ApiError) -> None:
        self._installation = installation

    async def pages(self, resource: resources.Resource) -> AsyncIterator[dict[str, Any]]:
        assert resource == resources.NADS
        yield {"items": [network("a")]}
        yield {"items": [network("b", "{}")]}

    async def get(self, resource: resources.Resource, name: str) -> dict[str, Any]:
        assert (resource, name) == (resources.INSTALLATIONS, "default")
        if isinstance(self._installation, errors.ApiError):
            raise self._installation
        return self._installation


async def read(installation: dict[str, Any] | errors.ApiError) -> cluster.Networks:
    return await cluster.networks(cast("Client", Reading(installation)))


def test_a_network_is_shown_as_a_person_would_write_it() -> None:
    assert cluster.shown(network("a")) == (
        "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata:\n  name: a\n  namespace: shop\n"
        "  annotations:\n    mine: 'yes'\nspec:\n  config: |\n    {\n"
        '      "cniVersion": "1.0.0",\n      "type": "bridge",\n      "vlan": 5000\n    }\n'
    )


async def test_all_networks_and_the_severities_of_the_cluster_are_read() -> None:
    found = await read({"spec": {"admission": {"severities": {"MR121": "Warn"}}}})
    assert list(found.texts) == ["cluster/shop/a.yaml", "cluster/shop/b.yaml"]
    assert (dict(found.severities), found.unknown) == ({"MR121": "Warn"}, "")


async def test_a_cluster_without_mooring_has_the_severities_of_the_rules() -> None:
    assert (await read(errors.NotFound(message="gone"))).unknown == ""


async def test_severities_that_are_not_known_are_told() -> None:
    assert "not known" in (await read(errors.Forbidden(message="you may not"))).unknown
    assert "MR999 is no rule" in (await read({"spec": {"admission": {"severities": {"MR999": "Warn"}}}})).unknown


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"cluster/shop/a.yaml": cluster.shown(network("a")), "cluster/shop/b.yaml": cluster.shown(network("b"))}
    monkeypatch.setattr(cluster, "read", lambda: cluster.Networks(texts, {}, "why"))


@pytest.mark.usefixtures("reached")
def test_the_networks_of_a_cluster_are_judged(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "--cluster"]) == 1
    printed = capsys.readouterr().out
    assert "cluster/shop/a.yaml:13:15: Enforce MR121" in printed
    assert "skipped cluster: why" in printed
    assert "2 objects in 2 files judged: 2 to be refused" in printed


@pytest.mark.usefixtures("reached")
def test_a_file_is_compared_with_what_is_in_the_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new.yaml"
    written = '{"cniVersion": "1.0.0", "name": "n", "type": "bridge"}'
    path.write_text(cluster.shown(network("new", written)))
    assert main(["lint", "--cluster", str(path), "--output", "json"]) == 1
    assert '"judged": 3' in capsys.readouterr().out


def test_a_cluster_that_does_not_answer_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> cluster.Networks:
        raise errors.Unreachable(message="no route")

    monkeypatch.setattr(cluster, "read", fail)
    assert lint.run([], lint.Options(cluster=True)) == 2
    assert "no route" in capsys.readouterr().err


def test_nothing_to_lint_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint"]) == 2
    assert "name a file" in capsys.readouterr().err
