"""The DaemonSets that bring plugin sets: which there are, and what their pods may do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.installing import deliveries, revisions
from mooring.installing.installations import InstallationSpec

OWNER = {"apiVersion": "mooring.dev/v1alpha1", "kind": "Installation", "name": "default", "uid": "7"}
CAN = {"kubeletVersion": "v1.36.3", "containerRuntimeVersion": "containerd://2.4.2"}


def a_set(
    name: str = "reference", image: str = "registry/plugins:1", binary: str = "bridge", **more: Any
) -> dict[str, Any]:
    binaries = [{"name": binary, "path": f"/bin/{binary}", "sha256": "b" * 64}]
    return {"name": name, "image": image, "binaries": binaries, **more}


def spec(*sets: dict[str, Any], **more: Any) -> InstallationSpec:
    return InstallationSpec.model_validate({"pluginSets": list(sets), **more})


def made(
    *specs: InstallationSpec, mount_images: bool = True, draining: tuple[str, ...] = ()
) -> dict[str, dict[str, Any]]:
    documents = [revisions.document(each, image="registry/mooring:1") for each in specs]
    return deliveries.daemon_sets(
        specs[0],
        documents,
        namespace="mooring-system",
        image="registry/mooring:1",
        owner=OWNER,
        mount_images=mount_images,
        draining=draining,
    )


def pod(*sets: dict[str, Any], mount_images: bool = True, **more: Any) -> dict[str, Any]:
    (found,) = made(spec(*sets, **more), mount_images=mount_images).values()
    inside: dict[str, Any] = found["spec"]["template"]["spec"]
    return inside


def volume(inside: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in inside["volumes"] if each["name"] == name)
    return found


class TestWhichThereAre:
    def test_each_set_has_one(self) -> None:
        found = made(spec(a_set("one"), a_set("two", binary="ptp")))
        assert {each["metadata"]["labels"][deliveries.SET_LABEL] for each in found.values()} == {"one", "two"}

    def test_a_set_of_a_revision_that_some_node_still_has_keeps_its_own(self) -> None:
        old, new = spec(a_set(image="registry/plugins:1")), spec(a_set(image="registry/plugins:2"))
        images = {
            volume(each["spec"]["template"]["spec"], "set")["image"]["reference"] for each in made(new, old).values()
        }
        assert images == {"registry/plugins:1", "registry/plugins:2"}

    def test_two_revisions_with_the_same_set_share_one(self) -> None:
        assert len(made(spec(a_set()), spec(a_set(), defaultNetwork="10-a.conflist"))) == 1

    def test_the_installations_own_word_on_how_it_is_fetched_counts(self) -> None:
        (found,) = made(spec(a_set(delivery="Container")), spec(a_set(delivery="ImageVolume"))).values()
        assert "initContainers" in found["spec"]["template"]["spec"]

    def test_nodes_that_keep_their_state_elsewhere_are_brought_it_there(self) -> None:
        elsewhere = spec(a_set(), paths={"stateDir": "/srv/mooring"})
        paths = {
            volume(each["spec"]["template"]["spec"], "handover")["hostPath"]["path"]
            for each in made(spec(a_set()), elsewhere).values()
        }
        assert paths == {"/var/lib/mooring/pluginsets", "/srv/mooring/pluginsets"}

    @pytest.mark.parametrize("document", ["", "[]", "{}", '{"version":1,"paths":{"stateDir":"/a"}}', "None"])
    def test_a_revision_without_sets_has_none(self, document: str) -> None:
        found = deliveries.daemon_sets(spec(), [document], namespace="n", image="i", owner=OWNER, mount_images=True)
        assert found == {}

    def test_their_names_fit_and_their_selectors_tell_them_apart(self) -> None:
        found = made(spec(a_set("a" * 40)), spec(a_set("a" * 40, image="another")))
        assert all(len(name) <= 63 for name in found)
        selectors = [each["spec"]["selector"]["matchLabels"] for each in found.values()]
        assert selectors[0] != selectors[1]
        for each in found.values():
            assert each["spec"]["selector"]["matchLabels"] == each["spec"]["template"]["metadata"]["labels"]


class TestWhereTheyRun:
    def test_not_on_nodes_that_are_drained(self) -> None:
        (found,) = made(spec(a_set()), draining=("n2", "n1")).values()
        affinity = found["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
        ((term),) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        assert term["matchFields"] == [
            {"key": "metadata.name", "operator": "NotIn", "values": [name]} for name in ("n1", "n2")
        ]

    def test_where_that_changes_no_pod_is_started_anew(self) -> None:
        (before,) = made(spec(a_set())).values()
        (after,) = made(spec(a_set(), nodeSelector={"pool": "a"}), draining=("n1",)).values()
        assert before["metadata"]["name"] == after["metadata"]["name"]
        assert after["spec"]["updateStrategy"] == {"type": "OnDelete"}

    @pytest.mark.parametrize("change", [{"imagePullSecrets": ["mine"]}, {"delivery": "Container"}, {"image": "b"}])
    def test_whatever_else_changes_makes_another_one(self, change: dict[str, Any]) -> None:
        assert made(spec(a_set())).keys() != made(spec(a_set(**change))).keys()


class TestItsPods:
    @pytest.mark.parametrize("mount_images", [True, False])
    def test_they_need_no_pod_network_and_have_no_rights_at_the_api_server(self, mount_images: bool) -> None:
        inside = pod(a_set(), mount_images=mount_images)
        assert inside["hostNetwork"] is True
        assert inside["automountServiceAccountToken"] is False
        assert "serviceAccountName" not in inside

    @pytest.mark.parametrize("mount_images", [True, False])
    def test_they_see_of_the_node_the_one_folder_and_may_no_more_than_they_need(self, mount_images: bool) -> None:
        inside = pod(a_set(), mount_images=mount_images)
        assert [each["hostPath"]["path"] for each in inside["volumes"] if "hostPath" in each] == [
            "/var/lib/mooring/pluginsets"
        ]
        for container in (*inside["containers"], *inside.get("initContainers", ())):
            security = container["securityContext"]
            assert security["capabilities"]["drop"] == ["ALL"]
            assert security["capabilities"].get("add", []) == (["SYS_CHROOT"] if mount_images else [])
            assert (security["allowPrivilegeEscalation"], security["readOnlyRootFilesystem"]) == (False, True)
            assert "privileged" not in security

    def test_a_mounted_image_executes_nothing_of_its_own(self) -> None:
        inside = pod(a_set())
        (container,) = inside["containers"]
        assert (container["image"], "initContainers" in inside) == ("registry/mooring:1", False)
        assert container["command"] == [
            deliveries.PROGRAM,
            "-to=/mooring-handover",
            "-from=/mooring-set",
            f"{'b' * 64}=/bin/bridge",
        ]
        assert volume(inside, "set") == {"name": "set", "image": {"reference": "registry/plugins:1"}}

    def test_an_image_that_is_not_mounted_runs_our_program_and_none_of_its_own(self) -> None:
        inside = pod(a_set(), mount_images=False)
        (first,), (container,) = inside["initContainers"], inside["containers"]
        assert (first["image"], container["image"]) == ("registry/mooring:1", "registry/plugins:1")
        assert first["command"] == [deliveries.PROGRAM, "-copy-self=/mooring-tools/mooring-deliver"]
        assert container["command"] == [
            "/mooring-tools/mooring-deliver",
            "-to=/mooring-handover",
            f"{'b' * 64}=/bin/bridge",
        ]

    @pytest.mark.parametrize(("delivery", "mounted"), [("ImageVolume", True), ("Container", False)])
    def test_the_way_can_be_named(self, delivery: str, mounted: bool) -> None:
        for mount_images in (True, False):
            assert ("initContainers" not in pod(a_set(delivery=delivery), mount_images=mount_images)) == mounted

    def test_its_secrets_are_for_pulling(self) -> None:
        assert pod(a_set(imagePullSecrets=["mine"]))["imagePullSecrets"] == [{"name": "mine"}]

    def test_they_run_where_the_agent_does(self) -> None:
        inside = pod(a_set(), nodeSelector={"pool": "a"})
        assert inside["nodeSelector"] == {"kubernetes.io/os": "linux", "pool": "a"}
        assert {"operator": "Exists"} in inside["tolerations"]


class TestWhetherImagesCanBeMounted:
    @pytest.mark.parametrize(
        ("kubelet", "runtime", "can"),
        [
            ("v1.36.3", "containerd://2.4.2", True),
            ("v1.35.0+k3s1", "containerd://2.1.5-k3s1", True),
            ("v1.35.1", "cri-o://1.35.0", True),
            ("v1.34.9", "containerd://2.1.5", False),
            ("v1.36.3", "containerd://2.0.7", False),
            ("v1.36.3", "containerd://1.7.28", False),
            ("v1.36.3", "cri-o://1.30.2", False),
            ("v1.36.3", "docker://29.0.0", False),
            ("v1.36.3", "", False),
            ("", "containerd://2.4.2", False),
            ("v2.0.0", "containerd://10.0.0", True),
        ],
    )
    def test_it_is_the_kubelet_and_the_runtime_that_say_it(self, kubelet: str, runtime: str, can: bool) -> None:
        assert deliveries.image_volumes([{"kubeletVersion": kubelet, "containerRuntimeVersion": runtime}]) is can

    def test_one_node_that_cannot_decides_for_all(self) -> None:
        assert deliveries.image_volumes([CAN, CAN]) is True
        assert deliveries.image_volumes([CAN, {**CAN, "kubeletVersion": "v1.34.0"}]) is False

    def test_without_a_node_the_way_that_always_works_is_taken(self) -> None:
        assert deliveries.image_volumes([]) is False

    @given(st.text(), st.text())
    def test_whatever_a_node_says_of_itself_is_answered(self, kubelet: str, runtime: str) -> None:
        assert deliveries.image_volumes([{"kubeletVersion": kubelet, "containerRuntimeVersion": runtime}]) in (
            True,
            False,
        )
