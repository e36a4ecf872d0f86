"""00-multus.conf: owns which network is the primary, and what our file is called beside others.

The primary is held by value, with the plugins that are chained to it in the folder of its name: what other programs
do to the folder of confs changes nothing until the same-named network changes and its new content holds. Refuses to
delegate to itself, and to a file that the runtime would not load either: a wrong primary breaks every pod. How the
conf is written is `renderers`.
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import TYPE_CHECKING, Any

from mooring.installing import chains, multus
from mooring.networks import confs, needs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

FILE = "00-multus.conf"
#: What it is called while another file sorts before `FILE`: a runtime loads the first file of its folder.
FIRST = "00-00-multus.conf"
#: What it is called beside a Multus: before its file, and with an ending that runtimes read and Multus does not.
BESIDE = "00-00-multus.json"
#: All names, in the runtime's order.
FILES = (FIRST, BESIDE, FILE)
#: As Multus has it: the runtime's own cache of results is keyed by it.
NETWORK = "multus-cni-network"
TYPE = "mooring"
ANNOTATIONS_CAPABILITY = "io.kubernetes.cri.pod-annotations"
AUTO = "auto"

_ENDINGS = (".conf", ".conflist", ".json")
# Never what pods are meant to have: podman drops its conf into the same folder, and a pin would outlive the mistake.
_NEVER = frozenset({"podman"})
#: The Installation's name for a folder of further plugins, and what becomes of it in the conf: the plugins by value.
AUXILIARY_NAME = "auxiliaryCNIChainName"
AUXILIARY = "auxiliaryChain"
# Of the auxiliary chain: what its plugins are given, whatever the runtime parses.
_CHAIN_VERSION = "1.0.0"
_VERSION = re.compile(r"[0-9]+(\.[0-9]+){0,2}")


class NotPrimaryError(ValueError):
    """A configuration that cannot be the primary network; the text is a clause that says why."""


@dataclasses.dataclass(frozen=True, slots=True)
class Primary:
    """A network that can be the primary: its name, where it came from, and its conf or conflist as it stands."""

    name: str
    file: str
    """The name of the file, `namespace/name` of the NAD, or "" where that is not known any more."""
    conf: dict[str, Any]

    @property
    def plugins(self) -> list[dict[str, Any]]:
        """The plugins in order; a conf is its own only one."""
        return needs.plugins(self.conf)

    @property
    def binaries(self) -> tuple[str, ...]:
        """The names of the programs that it takes, IPAM included, each once."""
        return needs.programs(self.conf)

    @property
    def capabilities(self) -> dict[str, bool]:
        """The capabilities that any of its plugins declares."""
        declared: dict[str, bool] = {}
        for plugin in self.plugins:
            listed = plugin.get("capabilities")
            if isinstance(listed, dict):
                declared.update({name: True for name, on in listed.items() if on is True})
        return declared


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """The primary to use (None: there is none yet), and in sentences what is wrong and what is worth knowing."""

    primary: Primary | None
    problem: str = ""
    """Why the node is not as the Installation wants it, or why no pod can start."""
    notes: tuple[str, ...] = ()
    applied: bool = True
    """Whether it is what is wanted; otherwise it is what there is to go on with."""
    works: bool = True
    """Whether its programs are there."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Our place among the files of the runtime's folder: the name that ours is to have, and who wants to be first."""

    file: str
    rivals: tuple[str, ...] = ()
    """The files that the runtime would load before `FILE`, in its order."""

    @property
    def unbeaten(self) -> tuple[str, ...]:
        """The rivals that sort before any name of ours: the runtime loads these, and not us."""
        return tuple(name for name in self.rivals if name < min(FIRST, self.file))


def place(names: Iterable[str], *, beside_multus: bool = False) -> Place:
    """Return our place in a folder that holds files of these names. Whether a rival is sound does not matter.

    A runtime that cannot load the first file does not load the second one: no pod starts then. `beside_multus`: a file
    of Multus is there, or may come at any time.
    """
    rivals = sorted(name for name in names if name.endswith(_ENDINGS) and name < FILE and name not in FILES)
    if beside_multus:
        return Place(BESIDE if all(name > BESIDE for name in rivals) else FIRST, tuple(rivals))
    return Place(FIRST if rivals else FILE, tuple(rivals))


def candidates(names: Iterable[str]) -> list[str]:
    """Return the names of files that the runtime would load, in its order, without those that are ours by name."""
    return sorted(name for name in names if name.endswith(_ENDINGS) and not name.startswith((*FILES, ".")))


def read(file: str, text: str, folders: Mapping[str, chains.Folder] | None = None) -> Primary:
    """Return the network that a file (or NAD) holds; raises `NotPrimaryError` where it cannot be the primary.

    `folders` are those beside the file, by name: a conflist takes on the plugins of the one that is named after it.
    """
    try:
        conf = confs.parse(text).value
    except confs.NotJSONError as error:
        raise NotPrimaryError(f"it is not JSON: {error}") from error
    if not isinstance(conf, dict):
        raise NotPrimaryError("it is not a JSON object")
    try:
        if file.endswith(".conflist"):
            conf = _folded(conf, folders or {})
    except chains.ChainError as error:
        raise NotPrimaryError(str(error)) from error
    if file.endswith((".conf", ".json")) and "type" not in conf:
        raise NotPrimaryError("a .conf needs `type`, and the runtime does not load it either")
    return _checked(file, conf)


def pinned(text: str) -> Primary | None:
    """Return the primary that an existing 00-multus.conf of ours holds; None for any other content."""
    try:
        conf = json.loads(text)
        if conf["type"] != TYPE or len(conf["delegates"]) != 1 or not isinstance(conf["delegates"][0], dict):
            return None
        return _checked("", conf["delegates"][0])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def pinned_auxiliary(text: str, name: str) -> dict[str, Any] | None:
    """Return the auxiliary chain of this name that an existing 00-multus.conf of ours holds; None for any other."""
    try:
        conf = json.loads(text)
        chain = conf[AUXILIARY]
        if conf["type"] != TYPE or not isinstance(chain, dict) or chain["name"] != name:
            return None
        return _checked("", chain).conf
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


@dataclasses.dataclass(frozen=True, slots=True)
class Auxiliary:
    """The chain that every pod gets after its networks (None: there is none), and in a sentence what is wrong."""

    conf: dict[str, Any] | None = None
    problem: str = ""


def auxiliary(
    name: str, folder: chains.Folder, *, pinned: dict[str, Any] | None, executable: Callable[[str], bool]
) -> Auxiliary:
    """Return the chain of the plugins in a folder; where they cannot be used, the one that is `pinned` until now."""
    try:
        plugins = chains.plugins(name, folder)
        if not plugins:
            return Auxiliary()
        # Not checked, as in Multus: a plugin such as tuning looks for the interface of its call, and there is none.
        chain = {"cniVersion": _CHAIN_VERSION, "name": name, "disableCheck": True, "plugins": plugins}
        primary = _checked(name, chain)
        if missing := _missing(primary, executable):
            raise NotPrimaryError(f"its program {missing} is not on the node")
    except ValueError as error:
        last = "pods go on with the chain as it was" if pinned else "pods start without it"
        return Auxiliary(pinned, f"The auxiliary chain {name} cannot be used, {last}: {error}")
    return Auxiliary(primary.conf)


def choose(
    *,
    wanted: str,
    texts: Mapping[str, str],
    folders: Mapping[str, chains.Folder],
    pinned: Primary | None,
    executable: Callable[[str], bool],
    chosen_for: str = "",
    bin_dir: str = "the folder of CNI plugins",
) -> Choice:
    """Return the primary network.

    `wanted` is `auto`, the name of a file, or `namespace/name` of a NAD; `texts` holds the candidates by these names,
    `folders` the chains beside them; `pinned` is the primary until now, and `chosen_for` what was wanted when it was
    chosen ("" where nobody knows: it holds then); `executable` tells whether a plugin's program is on the node,
    in `bin_dir` as messages call it.
    """
    good: dict[str, Primary] = {}
    bad: dict[str, str] = {}
    for file in sorted(texts):
        try:
            primary = read(file, texts[file], folders)
            if missing := _missing(primary, executable):
                raise NotPrimaryError(f"its program {missing} is not on the node")
            good[file] = primary
        except NotPrimaryError as error:
            bad[file] = str(error)
    eligible = [primary for primary in good.values() if not _unfit(primary)]
    if wanted != AUTO:
        choice = _wanted(wanted, good, bad, pinned, chosen_for)
    elif pinned is None or chosen_for not in ("", AUTO):
        choice = _anew(eligible, bad, pinned)
    else:
        choice = _repinned(pinned, eligible, bad)
    if pinned is not None and choice.primary is pinned and (missing := _missing(pinned, executable)):
        lacking = f"The program {missing} of the primary network {pinned.name} is not in {bin_dir}"
        problem = f"{lacking}: no pod can start" + (f". {choice.problem}" if choice.problem else "")
        return dataclasses.replace(choice, problem=problem, works=False)
    return choice


def _folded(conf: dict[str, Any], folders: Mapping[str, chains.Folder]) -> dict[str, Any]:
    """Return a conflist as the runtime's library has it after it read the folder; raises `ChainError`."""
    conf = {key: value for key, value in conf.items() if key != "type"}  # it is a list, whatever stands there
    name = conf.get("name")
    if isinstance(name, str) and isinstance(conf.get("plugins", []), list) and chains.takes_more(conf):
        more = chains.plugins(name, folders.get(name, chains.EMPTY))
        if more:
            conf["plugins"] = [*conf.get("plugins", []), *more]
    if "plugins" not in conf:
        raise chains.ChainError(
            "a .conflist needs `plugins`, or a folder of its name with a .conf of each plugin, "
            "and the runtime does not load it either"
        )
    return conf


def _checked(file: str, conf: dict[str, Any]) -> Primary:
    """Return the network where the meta-plugin takes it: what it refuses would fail every pod of the node."""
    name = conf.get("name")
    if not isinstance(name, str) or not chains.NAME.fullmatch(name):
        raise NotPrimaryError("its `name` is missing, or holds more than letters, digits, '.', '_' and '-'")
    version = conf.get("cniVersion", "")
    if version not in (None, "", *confs.VERSIONS):
        raise NotPrimaryError(f"its `cniVersion` {version!r} is not one of {', '.join(confs.VERSIONS)}")
    versions = conf.get("cniVersions", [])
    if not isinstance(versions, list) or not all(isinstance(one, str) and _VERSION.fullmatch(one) for one in versions):
        raise NotPrimaryError("its `cniVersions` is not a list of versions")
    plugins = conf["plugins"] if "plugins" in conf and "type" not in conf else [conf]
    if not isinstance(plugins, list) or not plugins:
        raise NotPrimaryError("its `plugins` is not a list with at least one plugin")
    try:
        chains.switches(conf)
        chains.check_writable(conf)
    except chains.ChainError as error:
        raise NotPrimaryError(str(error)) from error
    for position, plugin in enumerate(plugins):
        try:
            chains.checked(plugin)
        except chains.ChainError as error:
            raise NotPrimaryError(f"its plugin {position} cannot be used: {error}") from error
    return Primary(name=name, file=file, conf=conf)


def _unfit(primary: Primary) -> bool:
    """Say whether a sound network is never what pods are meant to have as their first."""
    calls_multus = any(plugin.get("type") in multus.TYPES for plugin in primary.plugins)
    return primary.name in _NEVER or primary.binaries == ("loopback",) or calls_multus


def _missing(primary: Primary, executable: Callable[[str], bool]) -> str:
    return " and ".join(name for name in primary.binaries if not executable(name))


def _wanted(
    wanted: str, good: dict[str, Primary], bad: dict[str, str], pinned: Primary | None, chosen_for: str
) -> Choice:
    if wanted in good:
        return Choice(good[wanted])
    text = f"The primary network {wanted} cannot be used: {bad.get(wanted, 'it is not there')}"
    if pinned is None:
        return Choice(None, problem=text, applied=False)
    text += f". Pods go on with {pinned.name}, as it was pinned"
    if chosen_for == wanted:
        return Choice(pinned, notes=(text,))
    return Choice(pinned, problem=text, applied=False)


def _anew(eligible: list[Primary], bad: dict[str, str], pinned: Primary | None) -> Choice:
    """Choose as on a node that has none yet; `pinned`, chosen for something else, is what there is to fall back on."""
    if eligible:
        return Choice(eligible[0])
    problem = "There is no primary network yet: install a CNI plugin that writes its conf"
    if pinned is not None:
        problem = (
            f"No file holds a network that can be the primary one; pods go on with {pinned.name}, as it was pinned"
        )
    refused = "; ".join(f"{file}: {reason}" for file, reason in bad.items())
    if refused:
        problem += f". What is there cannot be it: {refused}"
    return Choice(pinned, problem=problem, applied=False)


def _repinned(pinned: Primary, eligible: list[Primary], bad: dict[str, str]) -> Choice:
    notes = []
    if eligible and eligible[0].name != pinned.name:
        notes.append(
            f"{eligible[0].file} comes first and holds {eligible[0].name}, but {pinned.name} is pinned: "
            "name the file in the Installation's defaultNetwork to change the primary network"
        )
    for primary in eligible:
        if primary.name == pinned.name:
            return Choice(primary, notes=tuple(notes))
    refused = "; ".join(f"{file}: {reason}" for file, reason in bad.items())
    gone = f"No file holds the primary network {pinned.name} in a form that can be used; pods go on with the pinned one"
    return Choice(pinned, notes=(gone + (f" ({refused})" if refused else ""), *notes))
