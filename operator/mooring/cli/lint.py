"""`mooring lint`: owns finding files of manifests and settings, and printing; refuses to judge itself.

The same rules, codes and words as at admission, before anything is applied: for a person's shell and for CI.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mooring.linting import github, outcomes, records, sarif, settings, text
from mooring.linting.outcomes import Note
from mooring.linting.settings import Settings, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_SUFFIXES = frozenset({".yaml", ".yml", ".json"})
_SETTINGS = (".mooring.toml", "pyproject.toml")


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What was asked for on the command line; `config` None searches for the file of settings."""

    output: str = "text"
    select: Sequence[str] = ()
    ignore: Sequence[str] = ()
    severities: Sequence[str] = ()
    config: Path | None = None
    strict: bool = False
    allow_empty: bool = False
    cluster: bool = False


@dataclasses.dataclass(slots=True)
class _Reading:
    texts: dict[str, str] = dataclasses.field(default_factory=dict)
    skipped: list[Note] = dataclasses.field(default_factory=list)
    unreadable: list[Note] = dataclasses.field(default_factory=list)


def run(names: Sequence[str], options: Options) -> int:
    """Lint files and folders, `-` being standard input; return the exit status as `Outcome.status` says it."""
    if not names and not options.cluster:
        print("mooring lint: name a file, a folder, - for standard input, or --cluster.", file=sys.stderr)
        return 2
    try:
        chosen = _settings(options)
    except SettingsError as error:
        print(f"mooring lint: {error}", file=sys.stderr)
        return 2
    reading = _read(names, chosen)
    if options.cluster:
        chosen = _read_cluster(reading, chosen)
    outcome = outcomes.judge(reading.texts, chosen, skipped=reading.skipped, unreadable=reading.unreadable)
    match options.output:
        case "json":
            print(records.render(outcome))
        case "sarif":
            print(sarif.render(outcome, version=importlib.metadata.version("mooring")))
        case "github":
            print("\n".join(github.render(outcome)))
        case _:
            print("\n".join(text.render(outcome)))
    for note in outcome.unreadable:
        print(note, file=sys.stderr)
    if not (outcome.judged or outcome.unreadable or options.allow_empty):
        print(
            "mooring lint: no object was judged; are these the right files? With --allow-empty that is no failure.",
            file=sys.stderr,
        )
    return outcome.status(strict=chosen.strict, allow_empty=options.allow_empty)


def _settings(options: Options) -> Settings:
    """Return the settings of the file, with what the command line says instead or besides. Raises SettingsError."""
    given = _given(options.config)
    own = _pairs(options.severities)
    return dataclasses.replace(
        given,
        select=settings.codes(options.select, name="--select") or given.select,
        ignore=(*given.ignore, *settings.codes(options.ignore, name="--ignore")),
        severities={**given.severities, **settings.severities(own, name="--severity")},
        strict=options.strict or given.strict,
    )


def _pairs(written: Sequence[str]) -> Mapping[str, object]:
    pairs: dict[str, object] = {}
    for each in written:
        code, equals, word = each.partition("=")
        if not equals:
            raise SettingsError(f"--severity: {each} is not CODE=SEVERITY, such as MR110=Enforce.")
        pairs[code] = word
    return pairs


def _given(config: Path | None) -> Settings:
    if config is not None:
        found = _read_settings(config)
        if found is None:
            raise SettingsError(f"{config}: there is no table tool.mooring.lint in it.")
        return found
    here = Path.cwd()
    for folder in (here, *here.parents):
        for name in _SETTINGS:
            if (folder / name).is_file():
                found = _read_settings(folder / name)
                if found is not None:
                    return found
        if (folder / ".git").exists():
            break
    return Settings()


def _read_settings(path: Path) -> Settings | None:
    try:
        return settings.read(path.read_text(encoding="utf-8"), name=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from None


def _read(names: Sequence[str], chosen: Settings) -> _Reading:
    reading = _Reading()
    seen: set[Path] = set()
    for name in names:
        if name == "-":
            reading.texts["-"] = sys.stdin.read()
            continue
        paths = list(_files(Path(name)))
        if not paths:
            reading.skipped.append(Note(name, "no file in it ends in .yaml, .yml or .json"))
        for path in paths:
            whole = path.resolve()
            if whole in seen:
                continue
            seen.add(whole)
            if chosen.excludes(path.as_posix()):
                reading.skipped.append(Note(str(path), "the settings exclude it"))
            elif _is_template(whole):
                reading.skipped.append(Note(str(path), outcomes.UNEXPANDED))
            else:
                _read_file(path, reading)
    return reading


def _read_cluster(reading: _Reading, chosen: Settings) -> Settings:
    """Add the networks of a cluster behind the files, which are compared in their place; return the settings there."""
    # Only now: it loads the client, which takes longer than to judge some files.
    from mooring.cli import cluster
    from mooring.kube import errors

    try:
        networks = cluster.read()
    except errors.ApiError as error:
        reading.unreadable.append(Note("cluster", str(error)))
        return chosen
    reading.texts.update(networks.texts)
    if networks.unknown:
        reading.skipped.append(Note("cluster", networks.unknown))
    return dataclasses.replace(chosen, severities={**networks.severities, **chosen.severities})


def _read_file(path: Path, reading: _Reading) -> None:
    try:
        reading.texts[str(path)] = path.read_text(encoding="utf-8")
    except OSError as error:
        reading.unreadable.append(Note(str(path), error.strerror or str(error)))
    except UnicodeDecodeError as error:
        reading.unreadable.append(Note(str(path), f"not UTF-8: {error.reason} at byte {error.start}"))


def _files(path: Path) -> Iterator[Path]:
    """Yield the files that a path stands for."""
    if path.is_dir():
        yield from (each for each in sorted(path.rglob("*")) if each.suffix in _SUFFIXES and each.is_file())
    else:
        yield path


def _is_template(path: Path) -> bool:
    """Tell whether a file is below `templates` of a chart."""
    return any(folder.name == "templates" and (folder.parent / "Chart.yaml").is_file() for folder in path.parents)
