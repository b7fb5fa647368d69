"""Templates in the paths of policies: `secret/{{identity.entity.name}}/*` for whoever asks.

Pure. Syntax is checked when a policy is written (only balance counts: an unknown directive is accepted, as Vault
does), values are put in when the rules of one identity are compiled.

Invariants
  T1  a directive without a value drops the whole stanza: no identity, no such key, an empty value, a list
  T2  a value never changes the shape of a path: one that holds `*`, `+` or `/` drops the stanza (an entity named
      `*` would otherwise own every path); a value is never read for directives again
Source: Vault, "Templated policies"; OpenBao advisory GHSA-59w7-v8rr-pr4p.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cluster import StrongroomError

if TYPE_CHECKING:
    from collections.abc import Mapping


class TemplateError(StrongroomError):
    """The braces of a path do not pair up."""


@dataclass(frozen=True, slots=True)
class Alias:
    """What an entity is called by one auth mount."""

    mount_accessor: str
    id: str = ""
    name: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    custom_metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Group:
    """A group the entity belongs to."""

    id: str
    name: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Identity:
    """The entity behind a token, with its aliases and groups."""

    id: str
    name: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[Alias, ...] = ()
    groups: tuple[Group, ...] = ()


def is_templated(path: str) -> bool:
    """Whether the path has directives. Raises TemplateError when braces are not balanced."""
    return len(_pieces(path)) > 1


def expand(path: str, identity: Identity | None, now_s: int | None = None) -> str | None:
    """The path with every directive replaced, or None when the stanza is to be dropped.

    `now_s` (seconds since 1970) serves `{{time.now}}`; without it such stanzas are dropped, so that a result kept
    for later never holds an old time. Raises TemplateError when braces are not balanced.
    """
    pieces = _pieces(path)
    expanded = [pieces[0]]
    for directive, literal in zip(pieces[1::2], pieces[2::2], strict=True):
        value = _value(directive, identity, now_s)
        if not value or any(character in value for character in "*+/"):
            return None
        expanded += (value, literal)
    return "".join(expanded)


def _pieces(path: str) -> list[str]:
    """Literal, directive, literal, …: directives stand at the odd places, trimmed."""
    first, *others = path.split("{{")
    if "}}" in first:
        raise TemplateError("unbalanced templating characters")
    pieces = [first]
    for part in others:
        inside = part.split("}}")
        if len(inside) != 2:
            raise TemplateError("unbalanced templating characters")
        pieces += (inside[0].strip(), inside[1])
    return pieces


def _value(directive: str, identity: Identity | None, now_s: int | None) -> str | None:
    room, _, selector = directive.partition(".")
    if room == "time":
        return _time(selector, now_s)
    if room != "identity" or identity is None:
        return None
    kind, _, selector = selector.partition(".")
    if kind == "entity":
        return _entity(selector, identity)
    if kind == "groups":
        return _group(selector, identity)
    return None


def _entity(selector: str, identity: Identity) -> str | None:
    if selector == "id":
        return identity.id
    if selector == "name":
        return identity.name
    head, _, rest = selector.partition(".")
    if head == "metadata":
        return identity.metadata.get(rest)
    if head == "aliases":
        accessor, _, rest = rest.partition(".")
        return next((_alias(rest, alias) for alias in identity.aliases if alias.mount_accessor == accessor), None)
    return None


def _alias(selector: str, alias: Alias) -> str | None:
    if selector == "id":
        return alias.id
    if selector == "name":
        return alias.name
    head, _, key = selector.partition(".")
    if head == "metadata":
        return alias.metadata.get(key)
    if head == "custom_metadata":
        return alias.custom_metadata.get(key)
    return None


def _group(selector: str, identity: Identity) -> str | None:
    by, _, rest = selector.partition(".")
    wanted, _, rest = rest.partition(".")
    if by not in {"ids", "names"} or not wanted:
        return None
    group = next((group for group in identity.groups if (group.id if by == "ids" else group.name) == wanted), None)
    if group is None:
        return None
    if rest == "id":
        return group.id
    if rest == "name":
        return group.name
    head, _, key = rest.partition(".")
    return group.metadata.get(key) if head == "metadata" else None


_SHIFT = re.compile(r"now(?:\.(plus|minus)\.([0-9]{1,12})([smhd]?))?")
_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def _time(selector: str, now_s: int | None) -> str | None:
    match = _SHIFT.fullmatch(selector)
    if match is None or now_s is None:
        return None
    shift_s = int(match[2]) * _UNITS_S[match[3]] if match[1] else 0
    return str(now_s - shift_s if match[1] == "minus" else now_s + shift_s)
