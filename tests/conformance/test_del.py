"""DEL: everything is undone from what is on disk."""

from __future__ import annotations

from tests.conformance.node import Node, stub


def test_DEL_5_each_delegate_gets_conf_runtime_config_and_result_of_its_add_in_reverse(node: Node) -> None:
    node.beat()
    node.network("a", stub("a", capabilities={"ips": True}, big=12345678901234567890))
    conf = node.conf(stub(capabilities={"portMappings": True}), runtimeConfig={"portMappings": [{"hostPort": 1}]})
    pod = node.pod()
    node.add(conf, pod, [{"name": "a", "ips": ["10.1.1.1/24"]}]).ok()
    node.delete(node.conf(stub()), pod).ok()
    assert node.ran() == ["ADD eth0", "ADD net1", "DEL net1", "DEL eth0"]
    added, deleted = node.calls("ADD"), node.calls("DEL")[::-1]
    for add, delete in zip(added, deleted, strict=True):
        previous = delete["conf"].pop("prevResult")
        assert delete["conf"] == add["conf"]
        assert previous["interfaces"][0]["name"] == add["env"]["CNI_IFNAME"]
        assert delete["env"]["CNI_ARGS"] == add["env"]["CNI_ARGS"]
    assert '"big":12345678901234567890' in node.calls("DEL")[0]["raw"]
    assert node.left() == []
