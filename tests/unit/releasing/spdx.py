"""What SPDX 2.3 demands of a document in JSON, as far as ours uses it: owns telling what is wrong with one.

Written from the specification: clauses 6 (document), 7 (package), 11 (relationships), annexes D (licence
expressions) and F (external references).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_IDENTIFIER = re.compile(r"SPDXRef-[A-Za-z0-9.-]+")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_CREATOR = re.compile(r"(Tool|Person|Organization): \S.*")
_URI = re.compile(r"[a-z][a-z0-9+.-]*://[^\s#]+")
_PURL = re.compile(r"pkg:[a-z][a-z0-9.+-]*/[^\s@?#]+(@[^\s@?#]+)?(\?[^\s#]+)?(#\S+)?")
_EXPRESSION = re.compile(r"\(*[A-Za-z0-9.+-]+\)*( (AND|OR|WITH) \(*[A-Za-z0-9.+-]+\)*)*")
_LENGTHS = {"SHA1": 40, "SHA256": 64, "SHA512": 128}
_PURPOSES = {"APPLICATION", "FRAMEWORK", "LIBRARY", "CONTAINER", "OPERATING-SYSTEM", "FILE", "OTHER"}
_RELATIONS = {"DESCRIBES", "CONTAINS", "DEPENDS_ON", "STATIC_LINK"}
_PACKAGE = {"SPDXID", "name", "versionInfo", "downloadLocation", "filesAnalyzed", "licenseConcluded"} | {
    "licenseDeclared",
    "copyrightText",
    "primaryPackagePurpose",
    "sourceInfo",
    "externalRefs",
    "checksums",
}
_DOCUMENT = {"spdxVersion", "dataLicense", "SPDXID", "name", "documentNamespace", "creationInfo"} | {
    "packages",
    "relationships",
}


def problems(document: dict[str, Any]) -> list[str]:
    """Return what is wrong with a document; [] where nothing is."""
    return [*_document(document), *_packages(document["packages"]), *_relations(document)]


def _document(document: dict[str, Any]) -> Iterator[str]:
    if set(document) != _DOCUMENT:
        yield f"the document's fields are {sorted(set(document) ^ _DOCUMENT)} off"
    fixed = {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT"}
    for field, value in fixed.items():
        if document[field] != value:
            yield f"{field} is {document[field]!r} and not {value!r}"
    if not _URI.fullmatch(document["documentNamespace"]):
        yield f"documentNamespace {document['documentNamespace']!r} is no absolute URI without a fragment"
    creation = document["creationInfo"]
    if not _TIME.fullmatch(creation["created"]):
        yield f"created {creation['created']!r} is no time in UTC"
    if not creation["creators"] or not all(_CREATOR.fullmatch(each) for each in creation["creators"]):
        yield f"creators {creation['creators']!r}"


def _packages(packages: list[dict[str, Any]]) -> Iterator[str]:
    identifiers = [each["SPDXID"] for each in packages]
    if len(set(identifiers)) != len(identifiers):
        yield "two packages have one SPDXID"
    for package in packages:
        place = package["SPDXID"]
        if not _IDENTIFIER.fullmatch(place):
            yield f"{place!r} is no SPDXID"
        if not set(package) <= _PACKAGE:
            yield f"{place} has {sorted(set(package) - _PACKAGE)}"
        if not package["name"] or not package["versionInfo"] or "\n" in package["sourceInfo"]:
            yield f"{place} has no name, no version, or two lines of sourceInfo"
        if package["downloadLocation"] not in ("NOASSERTION", "NONE") and not _URI.match(package["downloadLocation"]):
            yield f"{place}: downloadLocation {package['downloadLocation']!r}"
        if package["filesAnalyzed"]:
            yield f"{place}: files were analysed, and there is no packageVerificationCode"
        for field in ("licenseConcluded", "licenseDeclared"):
            if not _EXPRESSION.fullmatch(package[field]) or package[field].count("(") != package[field].count(")"):
                yield f"{place}: {field} {package[field]!r}"
        if package["primaryPackagePurpose"] not in _PURPOSES:
            yield f"{place}: purpose {package['primaryPackagePurpose']!r}"
        for checksum in package.get("checksums", []):
            if not re.fullmatch(rf"[0-9a-f]{{{_LENGTHS[checksum['algorithm']]}}}", checksum["checksumValue"]):
                yield f"{place}: checksum {checksum}"
        for reference in package["externalRefs"]:
            kind = (reference["referenceCategory"], reference["referenceType"])
            if kind != ("PACKAGE-MANAGER", "purl") or not _PURL.fullmatch(reference["referenceLocator"]):
                yield f"{place}: {reference}"


def _relations(document: dict[str, Any]) -> Iterator[str]:
    known = {document["SPDXID"], *(each["SPDXID"] for each in document["packages"])}
    met = set()
    for relation in document["relationships"]:
        ends = {relation["spdxElementId"], relation["relatedSpdxElement"]}
        if not ends <= known:
            yield f"{relation} is about what is not in the document"
        if relation["relationshipType"] not in _RELATIONS:
            yield f"{relation} is of no known type"
        met |= ends
    if known - met:
        yield f"nothing is said of {sorted(known - met)}"
    if not any(each["relationshipType"] == "DESCRIBES" for each in document["relationships"]):
        yield "the document describes nothing"
