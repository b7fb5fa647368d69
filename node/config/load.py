"""From files, environment and flags to a configuration that knows where each value came from.

A shell around a pure core: it reads the named files and nothing else; the environment and the flags are arguments.
Precedence: defaults < TOML files in order < `STRONGROOM_SECTION__KEY` < flags. Invariants: nothing that was said is
ignored (an unknown key, a wrong type, a missing file is a sentence that names key and source), and no sentence
repeats a value, because a value may be a secret in the wrong place.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from . import check
from .document import FIELDS, SECTIONS, Config, Field
from .secret_text import SecretText
from .sentence import must_be

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PREFIX = "STRONGROOM_"


@dataclass(frozen=True, slots=True)
class Said:
    """One value as somebody said it. `is_text`: it came as text and still has to become a number, list or truth."""

    key: str
    value: Any
    source: str
    is_text: bool = False


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, the source of each key ("default", "file …", "environment …", "flag"), and all problems.

    With problems the configuration holds the defaults where a value could not be used: show it, do not serve it.
    """

    config: Config
    sources: dict[str, str]
    problems: list[str]


def load(files: Sequence[Path], environ: Mapping[str, str], flags: Mapping[str, Any] | None = None) -> Loaded:
    """Read the files and merge all sources. Never raises for what a user wrote: see `Loaded.problems`."""
    said: list[Said] = []
    problems: list[str] = []
    for path in files:
        try:
            tree = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            problems.append(f"file {path}: cannot be read: {error.strerror}")
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            problems.append(f"file {path}: is not TOML{_place(error)}")
        else:
            said += said_by_file(tree, f"file {path}")
    said += said_by_environment(environ)
    said += [Said(key, value, "flag", isinstance(value, str)) for key, value in (flags or {}).items()]
    loaded = merge(said)
    return Loaded(loaded.config, loaded.sources, problems + loaded.problems)


def said_by_file(tree: Mapping[str, Any], source: str) -> Iterable[Said]:
    """Each key of a parsed TOML file, flat."""
    for name, value in tree.items():
        if isinstance(value, dict) and name in SECTIONS:
            for key, item in value.items():
                yield Said(f"{name}.{key}", item, source)
        elif isinstance(value, dict):
            for key in value or {"": None}:
                yield Said(f"{name}.{key}", None, source)  # an unknown section: named key by key, values unread
        else:
            yield Said(name, value, source)


def said_by_environment(environ: Mapping[str, str]) -> Iterable[Said]:
    """Each `STRONGROOM_SECTION__KEY`, and `STRONGROOM_PROFILE`. Others with our prefix belong to the command line."""
    for name, value in sorted(environ.items()):
        if name == f"{PREFIX}PROFILE":
            yield Said("profile", value, f"environment {name}", is_text=True)
        elif name.startswith(PREFIX) and "__" in name:
            section, _, key = name.removeprefix(PREFIX).lower().partition("__")
            yield Said(f"{section}.{key}", value, f"environment {name}", is_text=True)


def merge(said: Iterable[Said]) -> Loaded:
    """Later words win, key by key. Pure; ends with the checks of the whole configuration."""
    values: dict[str, Any] = {}
    sources = dict.fromkeys(FIELDS, "default")
    problems: list[str] = []
    for word in said:
        field = FIELDS.get(word.key)
        if field is None:
            problems.append(f"{word.key} ({word.source}): there is no such key{_similar(word.key)}")
            continue
        if field.secret and word.source == "flag":
            problems.append(f"{word.key} (flag): a secret is not given on the command line; use a file")
            continue
        try:
            values[word.key] = convert(field, word.value, is_text=word.is_text)
        except ValueError as error:
            problems.append(f"{word.key} ({word.source}): {error}")
        else:
            sources[word.key] = word.source
    config = build(values)
    return Loaded(config, sources, problems + check.problems(config))


def convert(field: Field, value: Any, *, is_text: bool) -> Any:
    """`value` as the type of `field`. Raises ValueError with what it must be; the text never holds the value."""
    if is_text:
        value = _from_text(field, value)
    try:
        return msgspec.convert(value, field.type, strict=not is_text, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise ValueError(f"must be {must_be(field)}{_inside(error)}") from None


def build(values: Mapping[str, Any]) -> Config:
    """A configuration of defaults and these converted values."""
    by_section: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        by_section.setdefault(FIELDS[key].section, {})[FIELDS[key].name] = value
    top = by_section.pop("", {})
    sections = {name: type(getattr(Config(), name))(**given) for name, given in by_section.items()}
    return Config(**top, **sections)


def read_secret(value: SecretText, file: str) -> SecretText:
    """The secret itself, or the content of its `…_file` twin without the newline at its end.

    Raises OSError if the file cannot be read.
    """
    return SecretText(Path(file).read_text(encoding="utf-8").removesuffix("\n")) if file else value


def _from_text(field: Field, text: str) -> Any:
    if not isinstance(field.default, tuple):
        return text
    if text.lstrip().startswith(("[", "{")):
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            raise ValueError(f"must be {must_be(field)} as JSON") from None
    return [item.strip() for item in text.split(",") if item.strip()]


def _decode(wanted: type, value: Any) -> Any:
    if wanted is SecretText and isinstance(value, str):
        return SecretText(value)
    raise msgspec.ValidationError("Expected text")


def _similar(key: str) -> str:
    close = difflib.get_close_matches(key, FIELDS, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _inside(error: msgspec.ValidationError) -> str:
    """Where in a list it is wrong, and which field: never the offending value."""
    text = str(error)
    place = re.search(r" - at `\$(\[[^`]*)`", text)
    name = re.search(r"(unknown|missing required) field `([^`]*)`", text)
    where = f"; wrong at {place[1]}" if place else ""
    return where + (f": {name[1]} field {name[2]}" if name else "")


def _place(error: Exception) -> str:
    found = re.search(r"\(at (line \d+, column \d+|end of document)\)", str(error))
    return f" ({found[1]})" if found else ""
