"""The bill of materials of an image, in SPDX 2.3 as JSON: owns the document. Pure.

The same contents and time give the same bytes. Refuses to say of a licence what nobody checked: only an expression
that a package itself declares in SPDX's own words is repeated, all else is NOASSERTION.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from releasing.contents import Contents, Part

UNKNOWN = "NOASSERTION"
DOCUMENT = "SPDXRef-DOCUMENT"
_NAMESPACE = "https://mooring.dev/spdx"


def document(contents: Contents, *, version: str, architecture: str, created: str) -> dict[str, Any]:
    """Return the document of one image. `created` is a time in UTC like 2026-01-02T03:04:05Z."""
    image = _package(
        "SPDXRef-Image",
        "mooring.dev/mooring",
        version,
        f"pkg:oci/mooring@{version}?arch={architecture}&repository_url=mooring.dev/mooring",
        purpose="CONTAINER",
        told=f"image for linux/{architecture}",
        licence="Apache-2.0",
    )
    packages = {image["SPDXID"]: image}
    relations = [(DOCUMENT, "DESCRIBES", image["SPDXID"])]

    def add(kind: str, part: Part) -> str:
        identifier = f"SPDXRef-{kind}-{_identifier(part.name)}-{_identifier(part.version)}"
        packages.setdefault(
            identifier, _package(identifier, part.name, part.version, part.purl, told=part.told, licence=part.licence)
        )
        return identifier

    for kind, parts in (("Debian", contents.debian), ("Python", contents.python)):
        relations += [(image["SPDXID"], "CONTAINS", add(kind, part)) for part in parts]
    for program in contents.programs:
        name = program.path.rpartition("/")[2]
        identifier = f"SPDXRef-Program-{_identifier(name)}"
        packages[identifier] = _package(
            identifier,
            name,
            version,
            f"pkg:generic/{name}@{version}?arch={architecture}",
            purpose="APPLICATION",
            told=f"/{program.path} of the image",
            licence="Apache-2.0",
        ) | {"checksums": [{"algorithm": "SHA256", "checksumValue": program.sha256}]}
        relations.append((image["SPDXID"], "CONTAINS", identifier))
        relations += [(add("Go", module), "STATIC_LINK", identifier) for module in program.modules]
    body: dict[str, Any] = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": f"mooring-{version}-linux-{architecture}",
        "creationInfo": {"created": created, "creators": [f"Tool: mooring-releasing-{version}"]},
        "packages": [packages[identifier] for identifier in sorted(packages)],
        "relationships": [
            {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
            for one, kind, other in sorted(set(relations))
        ],
    }
    # One document, one name: what differs in anything is called otherwise.
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return body | {"documentNamespace": f"{_NAMESPACE}/{body['name']}-{digest[:32]}"}


def text(made: dict[str, Any]) -> str:
    """Return a document as the text of a file."""
    return json.dumps(made, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _package(
    identifier: str, name: str, version: str, purl: str, *, told: str, licence: str, purpose: str = "LIBRARY"
) -> dict[str, Any]:
    return {
        "SPDXID": identifier,
        "name": name,
        "versionInfo": version,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": False,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": licence or UNKNOWN,
        "copyrightText": UNKNOWN,
        "primaryPackagePurpose": purpose,
        "sourceInfo": told,
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl},
        ],
    }


def _identifier(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name)
