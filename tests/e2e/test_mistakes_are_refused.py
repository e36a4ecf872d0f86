"""A mistake in a network is told when it is applied, with its place and what to write instead."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.e2e import objects

if TYPE_CHECKING:
    from testbed.kubectl import Cluster


def test_three_mistakes_are_named_in_one_refusal_with_their_paths(cluster: Cluster) -> None:
    refused = cluster.run("apply", "-f", "examples/broken-network.yaml")
    assert refused.returncode != 0
    for path in ("$.vlan", "$.mtu", "$.ipam.ranges[0][0].rangeStart"):
        assert path in refused.stderr, refused.stderr
    assert "4094" in refused.stderr
    assert "9000" in refused.stderr
    assert "10.58.0.0/24" in refused.stderr


def test_an_unknown_option_is_a_warning_with_the_nearest_name(cluster: Cluster, namespace: str) -> None:
    config = objects.bridge("typo", "10.66.0.0/24", hairpinmod=True)
    done = cluster.run("apply", "-f", "-", stdin=json.dumps(objects.network(namespace, "typo", config)))
    assert done.returncode == 0
    assert "hairpinMode" in done.stderr


def test_a_config_that_is_not_json_is_refused_with_line_and_column(cluster: Cluster, namespace: str) -> None:
    broken = objects.network(namespace, "comma", '{\n  "type": "bridge",\n}')
    done = cluster.run("apply", "-f", "-", stdin=json.dumps(broken))
    assert done.returncode != 0
    assert "line 3" in done.stderr or "line 2" in done.stderr, done.stderr


def test_an_empty_spec_is_accepted_because_the_network_may_be_a_file_of_the_node(
    cluster: Cluster, namespace: str
) -> None:
    nad = objects.network(namespace, "file", "")
    del nad["spec"]
    assert "created" in cluster.apply(nad)
