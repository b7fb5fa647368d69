"""A policy as a document: the text its author wrote, read into rules, or refused with Vault's sentence.

Pure. `parse_policy` decides what a policy may say; `match` decides what it means for a request.

Invariants
  D1  an unknown key is an error: a misspelt `denied_parameters` must not become "no restriction". Keys whose meaning
      is not implemented (expiration, mfa_methods, control_group, …) are unknown keys
  D2  a rule with deny holds only deny
  D3  paths are kept as written, without the leading slash, templates unexpanded
Source: Vault, "Policies: Policy syntax, Fine-grained control"; OpenBao for scan, comment and pagination_limit.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster import StrongroomError

from . import capabilities, hcl, templates
from .hcl import Item, ListNode, Literal, Node, ObjectNode, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .capabilities import Capability


class PolicyError(StrongroomError):
    """The policy is refused and nothing changed. The message is the sentence the client gets."""


@dataclass(frozen=True, slots=True)
class PathRule:
    """What one stanza says about its path.

    A parameter with an empty tuple of values stands for any value. A wrapping bound or pagination limit of 0 is
    unset. Keys of allowed and denied parameters, and the required ones, are lower case.
    """

    path: str
    capabilities: Capability
    allowed_parameters: Mapping[str, tuple[Any, ...]]
    denied_parameters: Mapping[str, tuple[Any, ...]]
    required_parameters: tuple[str, ...]
    min_wrapping_ttl_s: int
    max_wrapping_ttl_s: int
    pagination_limit: int
    templated: bool


@dataclass(frozen=True, slots=True)
class Document:
    """One policy, read. Several rules may have the same path; they are merged when compiled."""

    rules: tuple[PathRule, ...]
    templated: bool  # some path depends on who asks


def plain_text(text: str) -> str:
    """The policy text behind `text`, which may be its base64, as Vault accepts; the plain text is what is stored."""
    packed = text.replace("\r", "").replace("\n", "")
    try:
        decoded = base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError):
        return text
    try:
        return decoded.decode()
    except UnicodeDecodeError:
        raise PolicyError("failed to parse policy: At 1:1: illegal char") from None


def parse_policy(text: str) -> Document:
    """The document of a policy text: HCL, JSON, or base64 of either. Raises PolicyError with Vault's sentence."""
    try:
        plain = plain_text(text)
        tree = hcl.parse(plain)
    except hcl.HclError as error:
        raise PolicyError(f"failed to parse policy: {error}") from None
    try:
        _check_keys(tree, frozenset({"name", "path"}))
        is_json = hcl.is_json(plain)
        rules = tuple(_rule(path, body) for item in tree.items for path, body in _stanzas(item, is_json=is_json))
    except _RefusedError as refused:
        raise PolicyError(f"failed to parse policy: {refused}") from None
    return Document(rules, any(rule.templated for rule in rules))


class _RefusedError(Exception):
    """A sentence on its way to `parse_policy`."""


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _at(place: Place, text: str) -> _RefusedError:
    return _RefusedError(f"At {place.line}:{place.column}: {text}")


def _kind(node: Node) -> str:
    """What clients of Vault see such a node called."""
    kinds = {Literal: "LiteralType", ListNode: "ListType", ObjectNode: "ObjectType"}
    return f"*ast.{kinds[type(node)]}"


def _check_keys(body: ObjectNode, known: frozenset[str], prefix: str = "") -> None:
    """Every key is known. The refusal names all others with their lines, in the form of Go's multierror."""
    unknown = [item for item in body.items if item.keys[0] not in known]
    if unknown:
        head = "1 error" if len(unknown) == 1 else f"{len(unknown)} errors"
        lines = (f"\t* {prefix}invalid key {_quoted(item.keys[0])} on line {item.place.line}\n" for item in unknown)
        raise _RefusedError(f"{head} occurred:\n{''.join(lines)}\n")


# stanzas


def _stanzas(item: Item, *, is_json: bool) -> Iterable[tuple[str, ObjectNode]]:
    """The (path, body) pairs of a top-level item; `name` is read for its form and has none."""
    if item.keys[0] == "name":
        if len(item.keys) > 1 or not isinstance(item.value, Literal):
            raise _at(item.value.place, f"root.name: unknown type for string {_kind(item.value)}")
        return ()
    if len(item.keys) > 2:
        raise _at(item.place, "a path stanza has one path")
    if len(item.keys) == 2:
        assert isinstance(item.value, ObjectNode)  # a label is never followed by "="
        return ((item.keys[1], item.value),)
    if is_json:
        return _json_stanzas(item.value)
    if isinstance(item.value, ObjectNode):
        return (("path", item.value),)  # `path { … }` is a rule for the path "path", as in Vault
    raise _not_an_object(item.value)


def _json_stanzas(value: Node) -> tuple[tuple[str, ObjectNode], ...]:
    """`{"path": {"x": {…}}}` and `{"path": [{"x": {…}}, {"y": {…}}]}`."""
    if isinstance(value, ObjectNode):
        stanzas = tuple((item.keys[0], item.value) for item in value.items if isinstance(item.value, ObjectNode))
        return stanzas if len(stanzas) == len(value.items) else (("path", value),)
    if isinstance(value, ListNode) and value.items and all(isinstance(part, ObjectNode) for part in value.items):
        return tuple(pair for part in value.items for pair in _json_stanzas(part))
    raise _not_an_object(value)


def _not_an_object(value: Node) -> _RefusedError:
    return _RefusedError(f'path "path": cannot check HCL keys of type {_kind(value)}')


def _rule(path: str, body: ObjectNode) -> PathRule:
    """One stanza, judged. The order of the checks is Vault's, so that the first sentence is too."""
    quoted = _quoted(path)
    try:
        templated = templates.is_templated(path)
    except templates.TemplateError as error:
        raise _RefusedError(f"failed to validate policy templating: {error}") from None
    _check_keys(body, frozenset(_FIELDS), f"path {quoted}: ")
    fields: dict[str, Any] = {}
    for item in body.items:
        if len(item.keys) > 1:
            raise _RefusedError(f"path {quoted}: labels after {_quoted(item.keys[0])} mean nothing")
        try:
            fields[item.keys[0]] = _FIELDS[item.keys[0]](item.keys[0], item.value)
        except _FieldError as error:
            raise _RefusedError(str(error)) from None
        except _RefusedError as refused:
            raise _RefusedError(f"path {quoted}: {refused}") from None
    if "+*" in path:
        raise _RefusedError(f"path {_quoted(path.removeprefix('/'))}: invalid use of wildcards ('+*' is forbidden)")
    granted = _granted(quoted, fields.get("policy", ""), fields.get("capabilities", ()))
    rule = PathRule(
        path=path.removeprefix("/"),
        capabilities=granted,
        allowed_parameters=fields.get("allowed_parameters", {}),
        denied_parameters=fields.get("denied_parameters", {}),
        required_parameters=fields.get("required_parameters", ()),
        min_wrapping_ttl_s=fields.get("min_wrapping_ttl", 0),
        max_wrapping_ttl_s=fields.get("max_wrapping_ttl", 0),
        pagination_limit=fields.get("pagination_limit", 0),
        templated=templated,
    )
    if 0 < rule.max_wrapping_ttl_s < rule.min_wrapping_ttl_s:
        raise _RefusedError("max_wrapping_ttl cannot be less than min_wrapping_ttl")
    return rule


def _granted(quoted: str, old_word: str, words: Iterable[str]) -> Capability:
    """The capabilities of the old word and the list together; every word is checked, also beside a deny."""
    if old_word and old_word not in capabilities.OLD_WORDS:
        raise _RefusedError(f"path {quoted}: invalid policy {_quoted(old_word)}")
    granted = [capabilities.OLD_WORDS[old_word]] if old_word else []
    for word in words:
        if word not in capabilities.WORDS:
            raise _RefusedError(f"path {quoted}: invalid capability {_quoted(word)}")
        granted.append(capabilities.WORDS[word])
    return capabilities.union(granted)


# fields


class _FieldError(Exception):
    """A sentence that names its field itself and gets no path before it."""


def _string(key: str, node: Node) -> str:
    if isinstance(node, Literal) and isinstance(node.value, str | int | float) and not isinstance(node.value, bool):
        return str(node.value)
    raise _at(node.place, f"root.{key}: unknown type for string {_kind(node)}")


def _strings(key: str, node: Node) -> tuple[str, ...]:
    if not isinstance(node, ListNode):
        raise _at(node.place, f"unknown slice type: {_kind(node)}")
    return tuple(_string(f"{key}[{index}]", item) for index, item in enumerate(node.items))


def _lowered(key: str, node: Node) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.lower() for word in _strings(key, node)))


def _parameters(key: str, node: Node) -> Mapping[str, tuple[Any, ...]]:
    if not isinstance(node, ObjectNode):
        raise _at(node.place, f"root.{key}: not an object type for map ({_kind(node)})")
    parameters: dict[str, tuple[Any, ...]] = {}
    places: dict[str, Place] = {}
    for item in node.items:
        name = item.keys[0].lower()
        if len(item.keys) > 1 or not isinstance(item.value, ListNode):
            raise _at(item.value.place, f"unknown slice type: {_kind(item.value)}")
        if name in parameters:
            raise _RefusedError(str(hcl.duplicate(item.keys[0], places[name], item.place)))
        parameters[name] = tuple(_plain(part) for part in item.value.items)
        places[name] = item.place
    return parameters


def _plain(node: Node) -> Any:
    """The node as JSON would give it, to compare with what a request holds."""
    if isinstance(node, Literal):
        return node.value
    if isinstance(node, ListNode):
        return [_plain(item) for item in node.items]
    return {".".join(item.keys): _plain(item.value) for item in node.items}


def _comment(_key: str, _node: Node) -> None:
    """Kept in the text, means nothing."""


def _limit(key: str, node: Node) -> int:
    text = _string(key, node)
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise _at(node.place, f"root.{key}: must be a whole number of 0 or more")
    return int(text)


_DURATION_PARTS = re.compile(r"([0-9]+)(d|h|m|s)")
_UNITS_S = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def _duration_s(key: str, node: Node) -> int:
    """Whole seconds from a number, "30", "30s", "1h30m" or "1d"; fractions and negatives are refused, not rounded."""
    if isinstance(node, Literal) and not isinstance(node.value, bool):
        if node.value == "":
            return 0
        text = str(node.value)
        if re.fullmatch(r"[0-9]{1,18}", text):
            return int(text)
        if len(text) < 40 and re.fullmatch(f"({_DURATION_PARTS.pattern})+", text):
            return sum(int(count) * _UNITS_S[unit] for count, unit in _DURATION_PARTS.findall(text))
    raise _FieldError(f"error parsing {key}: not a duration of whole seconds, 0 or more")


# Known keys of a stanza → how their value is read.
_FIELDS: Mapping[str, Callable[[str, Node], Any]] = {
    "capabilities": _strings,
    "policy": _string,
    "allowed_parameters": _parameters,
    "denied_parameters": _parameters,
    "required_parameters": _lowered,
    "min_wrapping_ttl": _duration_s,
    "max_wrapping_ttl": _duration_s,
    "pagination_limit": _limit,
    "comment": _comment,
}
