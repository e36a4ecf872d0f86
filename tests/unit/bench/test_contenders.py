"""What each contender is called with, without calling anybody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench import contenders, networks, node, processes
from testbed import failures

if TYPE_CHECKING:
    from bench.processes import Command, Steps

PLACE = node.Node(Path("/state"), Path("/programs"), (Path("/run/netns/pod"),))
POD = node.Pod("web", "uid-1", PLACE.namespaces[0], "c1")


def answered(*, status: int = 0, **printed: Any) -> processes.Finished:
    return processes.Finished(status, json.dumps(printed).encode(), b"", 0.001, 0.001)


def driven(steps: Steps) -> list[Command]:
    """Run steps with answers that say which call they are of."""
    seen = [next(steps)]
    try:
        while True:
            seen.append(steps.send(answered(call=len(seen))))
    except StopIteration:
        return seen


def read(command: Command) -> dict[str, Any]:
    conf: dict[str, Any] = json.loads(command.stdin)
    return conf


class TestTheDelegatesCalledDirectly:
    def test_add_goes_in_order_and_del_in_reverse_with_each_result(self) -> None:
        direct = contenders.Direct(PLACE)
        added = driven(direct.add(POD, 2))
        assert [command.environment["CNI_IFNAME"] for command in added] == ["eth0", "net1", "net2"]
        deleted = driven(direct.delete(POD, 2))
        assert [command.environment["CNI_IFNAME"] for command in deleted] == ["net2", "net1", "eth0"]
        assert [read(command)["prevResult"] for command in deleted] == [{"call": 3}, {"call": 2}, {"call": 1}]

    def test_the_plugin_of_a_list_reads_the_name_of_the_list(self) -> None:
        first = driven(contenders.Direct(PLACE).add(POD, 0))[0]
        assert first.program == Path("/programs/bridge")
        assert (read(first)["name"], read(first)["cniVersion"]) == ("bench-default", "1.0.0")
        assert "prevResult" not in read(first)

    def test_a_delegate_that_fails_is_told_with_what_it_said(self) -> None:
        steps = contenders.Direct(PLACE).add(POD, 1)
        next(steps)
        with pytest.raises(failures.Failure, match=r"delegates failed with status 1.*no addresses"):
            steps.send(answered(status=1, msg="no addresses"))


class TestAMetaPlugin:
    CONF = networks.mooring(
        delegate=networks.default(Path("/a")), programs=Path("/programs"), state=Path("/s"), kubeconfig=Path("/k")
    )

    def test_it_is_called_once_with_the_pods_annotations(self) -> None:
        meta = contenders.Meta(PLACE, "mooring", Path("/mooring"), self.CONF)
        [command] = driven(meta.add(POD, 2))
        assert read(command)["runtimeConfig"] == {
            "io.kubernetes.cri.pod-annotations": {"k8s.v1.cni.cncf.io/networks": "net-1,net-2"}
        }
        assert command.environment["CNI_COMMAND"] == "ADD"
        assert "K8S_POD_UID=uid-1" in command.environment["CNI_ARGS"]

    def test_a_pod_without_further_networks_has_no_annotations(self) -> None:
        meta = contenders.Meta(PLACE, "mooring", Path("/mooring"), self.CONF)
        [command] = driven(meta.delete(POD, 0))
        assert read(command)["runtimeConfig"] == {"io.kubernetes.cri.pod-annotations": {}}

    def test_a_conf_that_does_not_ask_for_annotations_gets_none(self) -> None:
        meta = contenders.Meta(PLACE, "other", Path("/other"), {"name": "n"})
        [command] = driven(meta.add(POD, 1))
        assert read(command) == {"name": "n"}


class TestTheConfOfAnotherPlugin:
    def test_places_are_filled_in(self) -> None:
        text = '{"kubeconfig": "@KUBECONFIG@", "delegates": [@DELEGATE@]}'
        conf = contenders.other_conf(text, {"KUBECONFIG": "/k", "DELEGATE": '{"name": "d"}'})
        assert conf == {"kubeconfig": "/k", "delegates": [{"name": "d"}]}

    @pytest.mark.parametrize("text", ["{", '"@UNKNOWN@"', "[]"])
    def test_what_is_no_object_is_refused(self, text: str) -> None:
        with pytest.raises(failures.Failure, match="--other-conf"):
            contenders.other_conf(text, {})
