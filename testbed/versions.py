"""The version of Mooring: pyproject.toml says it, and every other place that must repeat it is written from there.

Owns the list of these places. `python -m testbed.versions` writes them; a test finds one that says anything else.
Refuses to touch versions of formats: those are contracts, and no release changes them.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path

from testbed import failures

CHECKOUT = Path(__file__).resolve().parent.parent
#: How a version looks: semantic, with what an early release appends.
VERSION = r"[0-9]+\.[0-9]+\.[0-9]+(?:[-.+a-z0-9]*[a-z0-9])?"


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A file below the checkout, and what stands before the version in it, once or more often."""

    path: str
    before: str

    def pattern(self) -> re.Pattern[str]:
        """Return what finds the version, as its second group."""
        return re.compile(rf"({re.escape(self.before)})({VERSION})")


PLACES = (
    Place("Dockerfile", "ARG VERSION="),
    Place("manifests/base/operator.yaml", "image: mooring.dev/mooring:"),
    Place("manifests/default/kustomization.yaml", "newTag: "),
    Place("README.md", "mooring.dev/mooring:"),
    Place("docs/contracts.md", "mooring.dev/mooring:"),
)


def project(checkout: Path = CHECKOUT) -> str:
    """Return the version that pyproject.toml says."""
    return str(tomllib.loads((checkout / "pyproject.toml").read_text())["project"]["version"])


def said(place: Place, checkout: Path = CHECKOUT) -> set[str]:
    """Return every version that a place says. Raises Failure where it says none any more."""
    found = {match[2] for match in place.pattern().finditer((checkout / place.path).read_text())}
    if not found:
        raise failures.Failure(f"{place.path} has no version after {place.before!r}: mend testbed/versions.py")
    return found


def write(checkout: Path = CHECKOUT) -> list[str]:
    """Make every place say what pyproject.toml says; return those that said anything else."""
    version = project(checkout)
    changed = []
    for place in PLACES:
        if said(place, checkout) != {version}:
            path = checkout / place.path
            path.write_text(place.pattern().sub(rf"\g<1>{version}", path.read_text()))
            changed.append(place.path)
    return changed


if __name__ == "__main__":
    print("\n".join(write()))
