"""The bill of materials: what is told of an image, and in which form."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releasing import contents, sbom
from releasing.contents import Contents, Part, Program
from tests.unit.releasing.spdx import problems

LOCK = """\
aiohttp==3.14.5 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
typing-extensions==4.1 \\
    --hash=sha256:cc
"""
DPKG = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u14
Source: glibc
Description: GNU C Library
 more of it

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1:1.0

Package: tzdata
Status: install ok installed
Architecture: all
Version: 2:2026a
"""
GO = """\
/tmp/mooring: go1.26.8
\tpath\tmooring.dev/mooring/plugin
\tmod\tmooring.dev/mooring/plugin\t(devel)\t
\tdep\tgithub.com/containernetworking/cni\tv1.3.0\th1:abc=
\tdep\tgithub.com/one/replaced\tv1.0.0
\t=>\tgithub.com/other/replacing\tv1.0.1\th1:def=
\tbuild\tCGO_ENABLED=0
"""
SITE = "opt/mooring/lib/python3.11/site-packages"


def metadata(name: str, version: str, more: str = "") -> bytes:
    return f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n{more}\nThe text.\n".encode()


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    monkeypatch.setattr(contents, "go_records", lambda program: GO)
    return {
        contents.DPKG: DPKG.encode(),
        f"{SITE}/aiohttp-3.14.5.dist-info/METADATA": metadata(
            "aiohttp", "3.14.5", "License-Expression: Apache-2.0 AND MIT\n"
        ),
        f"{SITE}/typing_extensions-4.1.dist-info/METADATA": metadata("Typing_Extensions", "4.1"),
        f"{SITE}/mooring-0.2.0.dist-info/METADATA": metadata("mooring", "0.2.0"),
        f"{contents.PROGRAMS}mooring": b"\x7fELF one",
        f"{contents.PROGRAMS}mooring-cri": b"\x7fELF two",
    }


def document(found: Contents) -> dict[str, Any]:
    return sbom.document(found, version="0.2.0", architecture="amd64", created="2026-01-02T03:04:05Z")


def locators(made: dict[str, Any]) -> set[str]:
    return {each["externalRefs"][0]["referenceLocator"] for each in made["packages"]}


class TestWhatIsTold:
    def test_every_part_has_its_package_url(self, files: dict[str, bytes]) -> None:
        assert locators(document(contents.contents(files, lock=LOCK))) == {
            "pkg:oci/mooring@0.2.0?arch=amd64&repository_url=mooring.dev/mooring",
            "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64",
            "pkg:deb/debian/tzdata@2%3A2026a?arch=all",
            "pkg:pypi/aiohttp@3.14.5",
            "pkg:pypi/typing-extensions@4.1",
            "pkg:pypi/mooring@0.2.0",
            "pkg:generic/mooring@0.2.0?arch=amd64",
            "pkg:generic/mooring-cri@0.2.0?arch=amd64",
            "pkg:golang/stdlib@1.26.8",
            "pkg:golang/github.com/containernetworking/cni@v1.3.0",
            "pkg:golang/github.com/other/replacing@v1.0.1",
        }

    def test_hashes_and_licences_are_repeated_where_somebody_says_them(self, files: dict[str, bytes]) -> None:
        told = {each["name"]: each for each in document(contents.contents(files, lock=LOCK))["packages"]}
        assert "sha256:aa sha256:bb" in told["aiohttp"]["sourceInfo"]
        assert told["aiohttp"]["licenseDeclared"] == "Apache-2.0 AND MIT"
        assert told["typing-extensions"]["licenseDeclared"] == "NOASSERTION"
        assert "h1:abc=" in told["github.com/containernetworking/cni"]["sourceInfo"]

    def test_a_module_of_two_programs_stands_once_and_is_linked_into_both(self, files: dict[str, bytes]) -> None:
        made = document(contents.contents(files, lock=LOCK))
        [one] = [each["SPDXID"] for each in made["packages"] if each["name"] == "github.com/containernetworking/cni"]
        linked = [each["relatedSpdxElement"] for each in made["relationships"] if each["spdxElementId"] == one]
        assert linked == ["SPDXRef-Program-mooring", "SPDXRef-Program-mooring-cri"]

    def test_a_package_that_is_not_locked_is_refused(self, files: dict[str, bytes]) -> None:
        files[f"{SITE}/stranger-1.dist-info/METADATA"] = metadata("stranger", "1")
        with pytest.raises(ValueError, match="stranger 1 is in the image and not in the lock file"):
            contents.contents(files, lock=LOCK)

    @pytest.mark.parametrize(
        ("kind", "without"), [("debian", "dpkg"), ("python", "dist-info"), ("programs", "libexec")]
    )
    def test_an_image_without_records_is_refused(self, files: dict[str, bytes], kind: str, without: str) -> None:
        left = {path: data for path, data in files.items() if without not in path}
        with pytest.raises(ValueError, match=f"no records of kind {kind}"):
            contents.contents(left, lock=LOCK)

    def test_only_the_records_are_wanted_of_an_image(self, files: dict[str, bytes]) -> None:
        assert all(contents.wanted(path) for path in files)
        assert not any(contents.wanted(each) for each in ("etc/passwd", f"{SITE}/aiohttp/METADATA", "var/lib/dpkg/x"))


class TestItsForm:
    def test_it_is_what_the_specification_demands(self, files: dict[str, bytes]) -> None:
        assert problems(document(contents.contents(files, lock=LOCK))) == []

    @given(
        st.lists(
            st.tuples(
                st.from_regex(r"[a-z0-9][a-z0-9.+_/-]{0,12}[a-z0-9]", fullmatch=True),
                st.from_regex(r"([0-9]:)?[0-9][0-9a-z.+~-]{0,8}", fullmatch=True),
            ),
            min_size=1,
            max_size=6,
            unique=True,
        )
    )
    def test_it_is_so_for_any_names_and_versions(self, found: list[tuple[str, str]]) -> None:
        parts = tuple(Part(name, version, f"pkg:generic/{name}@1", "a test") for name, version in found)
        made = document(Contents(parts, parts, (Program("usr/libexec/mooring/x", "0" * 64, parts),)))
        assert problems(made) == []
        assert len(made["packages"]) == 3 * len(found) + 2

    def test_the_same_contents_make_the_same_bytes_and_others_another_name(self, files: dict[str, bytes]) -> None:
        found = contents.contents(files, lock=LOCK)
        assert sbom.text(document(found)) == sbom.text(document(found))
        files[f"{contents.PROGRAMS}mooring"] = b"\x7fELF other"
        other = contents.contents(files, lock=LOCK)
        assert document(found)["documentNamespace"] != document(other)["documentNamespace"]

    def test_each_rule_finds_what_breaks_it(self, files: dict[str, bytes]) -> None:
        good = document(contents.contents(files, lock=LOCK))
        assert json.loads(sbom.text(good)) == good

        def broken(change: Any) -> list[str]:
            made = copy.deepcopy(good)
            change(made)
            return problems(made)

        package = good["packages"][0]["SPDXID"]
        changes = (
            lambda made: made.update(spdxVersion="SPDX-2.2"),
            lambda made: made.update(more=1),
            lambda made: made.update(documentNamespace="here#there"),
            lambda made: made["creationInfo"].update(created="2026-01-02 03:04"),
            lambda made: made["creationInfo"].update(creators=["me"]),
            lambda made: made["packages"][0].update(SPDXID="SPDXRef-a b"),
            lambda made: made["packages"][0].update(SPDXID=made["packages"][1]["SPDXID"]),
            lambda made: made["packages"][0].update(downloadLocation="somewhere"),
            lambda made: made["packages"][0].update(filesAnalyzed=True),
            lambda made: made["packages"][0].update(licenseDeclared="Apache Software License"),
            lambda made: made["packages"][0].update(checksums=[{"algorithm": "SHA256", "checksumValue": "12"}]),
            lambda made: made["packages"][0]["externalRefs"][0].update(referenceLocator="pip:x"),
            lambda made: made["relationships"][0].update(relationshipType="HAS"),
            lambda made: made.update(
                relationships=[each for each in made["relationships"] if package not in each.values()]
            ),
        )
        assert [number for number, change in enumerate(changes) if not broken(change)] == []
