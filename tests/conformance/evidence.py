"""Lines of source code that say what Multus does.

Owns their form, where they are published, and where Go's module cache has them. Refuses to say what they mean: that is
the list of behaviours'.
"""

from __future__ import annotations

import dataclasses
import re

_LINE = re.compile(r"(?:(?P<library>[^:]+): )?(?P<path>[\w./-]+\.go):(?P<number>[1-9]\d*)")


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """A Go module in one version, and the repository that publishes it under a tag."""

    module: str
    version: str
    repository: str


MULTUS = Source("gopkg.in/k8snetworkplumbingwg/multus-cni.v4", "v4.3.0", "k8snetworkplumbingwg/multus-cni")
LIBRARIES = {
    "cni 1.3.0": Source("github.com/containernetworking/cni", "v1.3.0", "containernetworking/cni"),
    "nad-client 1.7.6": Source(
        "github.com/k8snetworkplumbingwg/network-attachment-definition-client",
        "v1.7.6",
        "k8snetworkplumbingwg/network-attachment-definition-client",
    ),
    "netlink 1.3.1": Source("github.com/vishvananda/netlink", "v1.3.1", "vishvananda/netlink"),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One line; `library` is a key of LIBRARIES, "" for Multus itself."""

    library: str
    path: str
    number: int

    @property
    def source(self) -> Source:
        """The module that the line is in."""
        return LIBRARIES[self.library] if self.library else MULTUS


def read(text: str) -> tuple[Line, ...]:
    """Read `pkg/types/conf.go:58, cni 1.3.0: libcni/api.go:502`. Raises ValueError for what is none, or nothing."""
    lines = []
    for part in text.split(", "):
        match = _LINE.fullmatch(part)
        if match is None:
            raise ValueError(
                f'{part!r} is no evidence: write "path/in/multus.go:line", or "library 1.2.3: path.go:line"'
            )
        library = match["library"] or ""
        if library and library not in LIBRARIES:
            raise ValueError(f"{part!r}: {library!r} is none of the libraries {', '.join(LIBRARIES)}")
        lines.append(Line(library, match["path"], int(match["number"])))
    return tuple(lines)


def link(line: Line) -> str:
    """Return the line as a link of Markdown, in words that are as short as they can be."""
    source = line.source
    said = f"{line.library}: {line.path}" if line.library else line.path
    return f"[{said}:{line.number}](https://github.com/{source.repository}/blob/{source.version}/{line.path}#L{line.number})"
