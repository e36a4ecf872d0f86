"""CHECK right after ADD, as CRI-O calls it for every pod: what is as it was made passes, and what is gone is found."""

from __future__ import annotations

import fcntl
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.node import Json, Node, chain, in_netns, stub

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conformance.node import Outcome, Pod

GATEWAY4, GATEWAY6 = "10.77.2.1", "fd00:77:2::1"
ROUTES = [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]


def _host_local(node: Node, number: int = 2, **keys: Any) -> Json:
    ranges = [[{"subnet": f"10.77.{number}.0/24"}], [{"subnet": f"fd00:77:{number}::/64"}]]
    return {"type": "host-local", "ranges": ranges, "dataDir": str(node.root / "ipam")} | keys


def _bridge(node: Node, number: int = 2, **keys: Any) -> Json:
    """A bridge with both families and, unless it is told otherwise, no route but those to its networks."""
    return {"type": "bridge", "bridge": f"br-{number}", "isGateway": True, "ipam": _host_local(node, number)} | keys


def _macvlan(node: Node) -> Json:
    """A macvlan on an interface of the node."""
    for line in ("link add up0 type veth peer name lan0", "link set up0 up", "link set lan0 up"):
        subprocess.run(["nsenter", f"--net={node.netns}", "ip", *line.split()], check=True)
    return {"type": "macvlan", "master": "up0", "ipam": _host_local(node)}


def _static(address: str) -> Json:
    return {"type": "static", "addresses": [{"address": address}]}


def _primary(node: Node, *more: Json, **keys: Any) -> Json:
    """A conf whose default network has both default routes."""
    return node.conf(chain("primary", _bridge(node, 1, ipam=_host_local(node, 1, routes=ROUTES)), *more), **keys)


class CRIO:
    """One pod as CRI-O sets it up: ADD, and CHECK at once with what ADD returned."""

    def __init__(self, node: Node, conf: Json, networks: str | list[Any]) -> None:
        self.node, self.conf, self.pod = node, conf, node.pod()
        self.result = node.add(conf, self.pod, networks).result
        self.check().ok()

    def check(self) -> Outcome:
        return self.node.call("CHECK", self.conf | {"prevResult": self.result}, self.pod)

    def ip(self, *words: str) -> None:
        in_netns(self.pod, "ip", *words)

    def address(self, interface: str) -> str:
        """An address of an interface, with its length."""
        (link,) = json.loads(in_netns(self.pod, "ip", "-json", "address", "show", interface))
        return next(f"{info['local']}/{info['prefixlen']}" for info in link["addr_info"] if info["scope"] == "global")

    def finds(self, *texts: str) -> None:
        """Expect CHECK to fail, and to say this of the second network."""
        error = self.check().error
        for text in ("default/web", "network default/a (net1)", *texts):
            assert text in error["msg"]


MOVED_BY_SBR: dict[str, Callable[[Node], Json]] = {
    "bridge": lambda node: _bridge(node),
    "bridge with routes": lambda node: _bridge(node, ipam=_host_local(node, routes=[{"dst": "192.0.2.0/24"}])),
    "ptp": lambda node: {"type": "ptp", "ipam": _host_local(node)},
    "macvlan": _macvlan,
}


@pytest.mark.parametrize("first", MOVED_BY_SBR)
@pytest.mark.parametrize("version", ["0.4.0", "1.0.0", "1.1.0"])
def test_CHK_5_a_plugin_whose_routes_sbr_moves_is_not_asked(node: Node, first: str, version: str) -> None:
    node.network("a", chain("a", MOVED_BY_SBR[first](node), {"type": "sbr"}, version=version))
    CRIO(node, _primary(node), "a")


@pytest.mark.parametrize("first", MOVED_BY_SBR)
def test_CHK_5_what_it_made_is_looked_at_instead(node: Node, first: str) -> None:
    node.network("a", chain("a", MOVED_BY_SBR[first](node), {"type": "sbr"}))
    crio = CRIO(node, _primary(node), "a")
    address = crio.address("net1")
    crio.ip("address", "delete", address, "dev", "net1")
    crio.finds(f"address {address} is gone from interface net1")
    crio.ip("link", "delete", "net1")
    crio.finds("interface net1 is gone")


def test_CHK_5_it_is_not_asked_in_the_default_networks_chain_either(node: Node) -> None:
    crio = CRIO(node, _primary(node, {"type": "sbr"}), [])
    crio.ip("link", "delete", "eth0")
    assert "network primary (eth0): interface eth0 is gone" in crio.check().error["msg"]


def test_CHK_5_nor_without_a_journal(node: Node) -> None:
    crio = CRIO(node, _primary(node, {"type": "sbr"}), [])
    node.journal_path(crio.pod).unlink()
    crio.check().ok()
    address = crio.address("eth0")
    crio.ip("address", "delete", address, "dev", "eth0")
    assert f"address {address} is gone from interface eth0" in crio.check().error["msg"]


def test_CHK_5_the_other_plugins_of_the_chain_are_asked(node: Node) -> None:
    node.network("a", chain("a", _bridge(node), {"type": "sbr"}, {"type": "tuning", "mtu": 1400}))
    crio = CRIO(node, _primary(node), "a")
    crio.ip("link", "set", "net1", "mtu", "1300")
    crio.finds("plugin tuning (CHECK)")


def test_CHK_5_sbr_with_a_table_of_its_own_moves_nothing_and_everybody_is_asked(node: Node) -> None:
    node.network("a", chain("a", _bridge(node), {"type": "sbr", "table": 100}))
    crio = CRIO(node, _primary(node), "a")
    crio.ip("route", "delete", "10.77.2.0/24")
    crio.finds("plugin bridge (CHECK)")


def test_CHK_2_with_disable_check_nobody_looks(node: Node) -> None:
    node.network("a", chain("a", _bridge(node), {"type": "sbr"}, disableCheck=True))
    conf = _primary(node)
    crio = CRIO(node, conf, [{"name": "a", "default-route": [GATEWAY4]}])
    crio.ip("link", "delete", "net1")
    crio.check().ok()


@pytest.mark.parametrize("gateways", [[GATEWAY4], [GATEWAY6], [GATEWAY4, GATEWAY6]])
@pytest.mark.parametrize("more", [[], [{"type": "sbr"}]])
def test_CHK_6_a_default_route_that_we_moved_passes_and_is_missed(
    node: Node, gateways: list[str], more: list[Json]
) -> None:
    node.network("a", chain("a", _bridge(node), *more))
    crio = CRIO(node, _primary(node), [{"name": "a", "default-route": gateways}])
    for gateway in gateways:
        way = ("default", "via", gateway, "dev", "net1", *(["onlink"] if more else []))
        crio.ip("route", "delete", *way)
        crio.finds(gateway, *(["the route is gone"] if more else []))
        crio.ip("route", "add", *way)
        crio.check().ok()


@pytest.mark.parametrize(("gateway", "back"), [(GATEWAY4, "10.77.1.1"), (GATEWAY6, "fd00:77:1::1")])
def test_CHK_6_a_former_default_route_that_is_back_is_found(node: Node, gateway: str, back: str) -> None:
    node.network("a", chain("a", _bridge(node)))
    crio = CRIO(node, _primary(node), [{"name": "a", "default-route": [gateway]}])
    crio.ip("route", "append", "default", "via", back, "dev", "eth0", "metric", "7")
    crio.finds(f"default-route {gateway}", f"by {back} on eth0")


def test_CHK_6_what_a_router_advertises_is_nobodys_fault(node: Node) -> None:
    node.network("a", chain("a", _bridge(node)))
    crio = CRIO(node, _primary(node), [{"name": "a", "default-route": [GATEWAY6]}])
    crio.ip("-6", "route", "append", "default", "via", "fe80::1", "dev", "eth0", "proto", "ra", "metric", "7")
    crio.check().ok()


def test_CHK_6_a_default_route_that_the_pod_did_not_want_is_found(node: Node) -> None:
    node.network("a", chain("a", _bridge(node, ipam=_host_local(node, routes=ROUTES))))
    crio = CRIO(node, _primary(node), [{"name": "a", "default-route": []}])
    crio.ip("route", "append", "default", "via", GATEWAY4, "dev", "net1", "metric", "7")
    crio.finds("a default route", GATEWAY4)


def test_CHK_6_a_route_of_the_cluster_that_was_kept_is_missed(node: Node) -> None:
    node.network("a", chain("a", _bridge(node)))
    conf = _primary(node, keepClusterRoutes=["10.96.0.0/16", "fd00:96::/108"])
    crio = CRIO(node, conf, [{"name": "a", "default-route": [GATEWAY4, GATEWAY6]}])
    for kept in ("10.96.0.0/16", "fd00:96::/108"):
        crio.ip("route", "delete", kept)
        error = crio.check().error["msg"]
        assert "network primary (eth0)" in error
        assert kept.split("/")[0] in error
        crio.ip("route", "add", kept, "via", "10.77.1.1" if "." in kept else "fd00:77:1::1", "dev", "eth0")
        crio.check().ok()


def test_CHK_6_a_kept_route_is_missed_where_no_plugin_looks_for_it(node: Node) -> None:
    node.network("a", chain("a", _bridge(node)))
    conf = _primary(node, keepClusterRoutes=["10.96.0.0/16"])
    conf["delegates"][0]["plugins"][0]["type"] = "vendor"
    (node.bin / "vendor").symlink_to((node.bin / "bridge").resolve())
    crio = CRIO(node, conf, [{"name": "a", "default-route": [GATEWAY4]}])
    crio.ip("route", "delete", "10.96.0.0/16")
    assert "network primary (eth0): the route to 10.96.0.0/16 by 10.77.1.1" in crio.check().error["msg"]


def test_CHK_6_a_plugin_that_may_look_for_the_moved_route_by_itself_is_not_asked(node: Node) -> None:
    node.network("a", chain("a", _bridge(node)))
    node.answer(other__CHECK={"error": {"code": 100, "msg": "my default route is gone"}})
    conf = _primary(node, {"type": "other"})
    crio = CRIO(node, conf, [{"name": "a", "default-route": [GATEWAY4]}])
    assert node.ran("CHECK") == []
    address = crio.address("eth0")
    crio.ip("address", "delete", address, "dev", "eth0")
    assert "network primary (eth0)" in crio.check().error["msg"]
    left = node.pod()
    result = node.add(conf, left, "a").result
    assert "my default route is gone" in node.call("CHECK", conf | {"prevResult": result}, left).error["msg"]


@pytest.mark.parametrize("pci", ["0000:03:02.1", ""])
def test_CHK_6_a_device_of_a_program_in_user_space_needs_no_interface(node: Node, pci: str) -> None:
    node.network("a", chain("a", _bridge(node)))
    node.network("b", stub("b", kind="other", version="1.1.0"))
    conf = _primary(node)
    made = {"name": "net2", "sandbox": "/run/netns/b"} | ({"pciID": pci} if pci else {})
    node.answer(other__ADD={"result": {"cniVersion": "1.1.0", "interfaces": [made]}})
    asked = [{"name": "a", "default-route": [GATEWAY4]}, {"name": "b"}]
    if pci:
        CRIO(node, conf, asked)
        return
    with pytest.raises(AssertionError, match="interface net2 is gone"):
        CRIO(node, conf, asked)


OUT_OF_REACH: dict[str, Callable[[Node], Json]] = {
    "bridge without IPAM": lambda _: chain("a", {"type": "bridge", "bridge": "br-2"}),
    "bridge with an empty IPAM": lambda _: chain("a", {"type": "bridge", "bridge": "br-2", "ipam": {}}),
    "a route of another table": lambda node: chain(
        "a",
        _bridge(node, ipam=_host_local(node, routes=[{"dst": "192.0.2.0/24", "gw": GATEWAY4, "table": 100}])),
        version="1.1.0",
    ),
    "an IPv4 address of length 32": lambda node: chain(
        "a", _bridge(node, isGateway=False, ipam=_static("10.77.2.9/32"))
    ),
    "a MAC address in capitals": lambda node: chain("a", _bridge(node), {"type": "tuning", "mac": "0A:58:0A:00:00:07"}),
    "a sysctl with blanks": lambda node: chain(
        "a", _bridge(node), {"type": "tuning", "sysctl": {"net.ipv4.ip_local_port_range": "1024 60000"}}
    ),
    "tuning before tuning": lambda node: chain(
        "a", _bridge(node), {"type": "tuning", "mtu": 1400}, {"type": "tuning", "mtu": 1300}
    ),
}


@pytest.mark.parametrize("case", OUT_OF_REACH)
def test_CHK_7_a_reference_plugin_that_compares_what_cannot_match_is_not_asked(node: Node, case: str) -> None:
    node.network("a", OUT_OF_REACH[case](node))
    crio = CRIO(node, _primary(node), "a")
    if "IPAM" not in case:
        address = crio.address("net1")
        crio.ip("address", "delete", address, "dev", "net1")
        crio.finds()
        crio.ip("address", "add", address, "dev", "net1")
    crio.ip("link", "delete", "net1")
    crio.finds("net1")


def test_CHK_8_a_plugin_without_check_keeps_no_pod_from_starting(node: Node) -> None:
    # As whereabouts, the IPAM plugin of many: whoever calls it hands its error on.
    missing = {"code": 100, "msg": "CNI CHECK method is not implemented"}
    leased = {"cniVersion": "1.0.0", "ips": [{"address": "10.77.2.9/24"}]}
    node.answer(other__ADD={"result": leased}, other__CHECK={"error": missing})
    node.network(
        "a", chain("a", _bridge(node, isGateway=False, ipam={"type": "other"}), {"type": "tuning", "mtu": 1400})
    )
    crio = CRIO(node, _primary(node), "a")
    assert node.ran("CHECK") == ["net1"], "it is asked: it may learn it"
    crio.ip("link", "set", "net1", "mtu", "1300")
    crio.finds("plugin tuning (CHECK)")
    crio.ip("link", "set", "net1", "mtu", "1400")
    crio.ip("address", "delete", "10.77.2.9/24", "dev", "net1")
    crio.finds("address 10.77.2.9/24 is gone from interface net1")
    node.answer(other__CHECK={"error": {"code": 101, "msg": "the lease is lost"}})
    crio.finds("the lease is lost")


def test_CHK_7_tuning_of_an_auxiliary_chain_has_no_interface_to_look_for(node: Node) -> None:
    folder = node.root / "net.d" / "vendor"
    folder.mkdir(parents=True)
    (folder / "10.conf").write_text(json.dumps({"type": "tuning", "sysctl": {"net.ipv4.conf.eth0.arp_filter": "1"}}))
    file = folder.parent / "10-primary.conflist"
    file.write_text(json.dumps(chain("primary", _bridge(node, 1))))
    CRIO(node, node.conf(clusterNetwork=str(file), auxiliaryCNIChainName="vendor"), [])


CHAINS: dict[str, Callable[[Node], list[Json]]] = {
    "bridge": lambda node: [_bridge(node)],
    "bridge with routes": lambda node: [
        _bridge(node, ipam=_host_local(node, routes=[*ROUTES, {"dst": "192.0.2.0/24", "gw": GATEWAY4}]))
    ],
    "ptp": lambda node: [{"type": "ptp", "ipam": _host_local(node)}],
    "macvlan": lambda node: [_macvlan(node)],
    "tuning": lambda node: [
        _bridge(node),
        {"type": "tuning", "mac": "0a:58:0a:00:00:07", "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"}},
    ],
    "portmap": lambda node: [_bridge(node, ipMasq=True), {"type": "portmap", "capabilities": {"portMappings": True}}],
    "firewall": lambda node: [_bridge(node), {"type": "firewall"}],
    "bandwidth": lambda node: [_bridge(node), {"type": "bandwidth", "ingressRate": 1000000, "ingressBurst": 1000000}],
}


@pytest.mark.parametrize("version", ["0.4.0", "1.0.0", "1.1.0"])
@pytest.mark.parametrize("case", CHAINS)
def test_CHK_4_add_and_check_at_once_pass_and_what_is_removed_is_found(node: Node, case: str, version: str) -> None:
    node.network("a", chain("a", *CHAINS[case](node), version=version))
    ports = [{"hostPort": 8080, "containerPort": 80}] if case == "portmap" else []
    crio = CRIO(node, _primary(node), [{"name": "a"} | ({"portMappings": ports} if ports else {})])
    address = crio.address("net1")
    crio.ip("address", "delete", address, "dev", "net1")
    crio.finds("net1")
    crio.ip("link", "delete", "net1")
    crio.finds("net1")


def _busy(node: Node, conf: Json, pod: Pod) -> Outcome:
    with node.journal_path(pod).open() as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        return node.call("CHECK", conf, pod, timeout=45)


def test_CHK_9_a_sandbox_that_stays_busy_is_to_be_tried_again(node: Node) -> None:
    conf, pod = node.conf(stub()), node.pod()
    result = node.add(conf, pod).result
    error = _busy(node, conf | {"prevResult": result}, pod).error
    assert error["code"] == 11
    assert "another call" in error["msg"]
