"""What one path string grants, merged from every policy that names it, and the conditions it makes.

Pure. A Grant is filled by `add`, closed by `freeze`, then only asked.

Invariants
  G1  deny in one policy clears the path string for good
  G2  capabilities add up; wrapping bounds and the pagination limit take the smaller that is set; allowed and denied
      parameters are joined per key, where a key with any value wins; required parameters add up
  G3  one policy with allowed parameters restricts the path string for all of them
  G4  denied parameters are asked before allowed ones
Source: Vault, "Policies: Fine-grained control"; OpenBao for pagination_limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import capabilities
from .capabilities import NOTHING, Capability

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .document import PathRule

_WITH_PARAMETERS = frozenset({"read", "create", "update", "patch"})
_LISTINGS = frozenset({"list", "scan"})


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one question.

    `sudo` says that the rule also has sudo, `pagination_limit` (0 = none) that a listing must not return more
    entries: the caller asks for that many when the request names no limit or `max`.
    """

    allowed: bool
    granting_policies: tuple[str, ...] = ()
    sudo: bool = False
    is_root: bool = False
    pagination_limit: int = 0


DENIED = Decision(allowed=False)


class Grant:
    """One path string's capabilities and conditions."""

    __slots__ = (
        "_allowed",
        "_denied",
        "_granting",
        "_max_wrapping_ttl_s",
        "_min_wrapping_ttl_s",
        "_pagination_limit",
        "_required",
        "capabilities",
        "decisions",
        "is_plain",
    )

    def __init__(self) -> None:
        self.capabilities: Capability = NOTHING
        self.decisions: dict[str, Decision] = {}  # operation → the decision when every condition holds
        self.is_plain = True  # no condition: `decisions` is the whole answer
        self._granting: dict[Capability, list[str]] = {}
        self._allowed: dict[str, tuple[Any, ...]] = {}
        self._denied: dict[str, tuple[Any, ...]] = {}
        self._required: tuple[str, ...] = ()
        self._min_wrapping_ttl_s = 0
        self._max_wrapping_ttl_s = 0
        self._pagination_limit = 0

    def add(self, policy: str, rule: PathRule) -> None:
        """Merge one policy's rule for this path string."""
        self.capabilities = capabilities.union((self.capabilities, rule.capabilities))
        for capability in rule.capabilities:
            names = self._granting.setdefault(capability, [])
            if policy not in names:
                names.append(policy)
        _join(self._allowed, rule.allowed_parameters)
        _join(self._denied, rule.denied_parameters)
        self._required = tuple(dict.fromkeys(self._required + rule.required_parameters))
        self._min_wrapping_ttl_s = _smaller(self._min_wrapping_ttl_s, rule.min_wrapping_ttl_s)
        self._max_wrapping_ttl_s = _smaller(self._max_wrapping_ttl_s, rule.max_wrapping_ttl_s)
        self._pagination_limit = _smaller(self._pagination_limit, rule.pagination_limit)

    def freeze(self) -> None:
        """Work out the decisions; nothing is added afterwards."""
        sudo = bool(self.capabilities & Capability.SUDO)
        self.decisions = {
            operation: Decision(
                allowed=True,
                granting_policies=tuple(self._granting[needed]),
                sudo=sudo,
                pagination_limit=self._pagination_limit if operation in _LISTINGS else 0,
            )
            for operation, needed in capabilities.NEEDS.items()
            if self.capabilities & needed
        }
        self.is_plain = not (
            self._allowed
            or self._denied
            or self._required
            or self._min_wrapping_ttl_s
            or self._max_wrapping_ttl_s
            or self._pagination_limit
        )

    def judge(self, operation: str, body: Mapping[str, Any] | None, wrap_ttl_s: int | None) -> Decision:
        """The decision with every condition asked."""
        decision = self.decisions.get(operation, DENIED)
        if not decision.allowed or not self._wrapped_as_asked(wrap_ttl_s):
            return DENIED
        if operation in _WITH_PARAMETERS and not self._parameters_hold(body or {}):
            return DENIED
        if operation in _LISTINGS and not self._limit_holds(body or {}):
            return DENIED
        return decision

    def _wrapped_as_asked(self, wrap_ttl_s: int | None) -> bool:
        """Merging may leave a minimum above the maximum: then nothing passes."""
        least_s, most_s = self._min_wrapping_ttl_s, self._max_wrapping_ttl_s
        if not least_s and not most_s:
            return True
        return wrap_ttl_s is not None and least_s <= wrap_ttl_s and (not most_s or wrap_ttl_s <= most_s)

    def _parameters_hold(self, body: Mapping[str, Any]) -> bool:
        """Required keys are looked up as they stand in the body, the others in lower case."""
        if any(key not in body for key in self._required):
            return False
        if not body:
            return True
        if "*" in self._denied or any(_listed(key, value, self._denied, star=True) for key, value in body.items()):
            return False
        if not self._allowed or self._allowed.keys() == {"*"}:
            return True
        others = "*" in self._allowed
        return all(
            _listed(key, value, self._allowed) if key.lower() in self._allowed else others
            for key, value in body.items()
        )

    def _limit_holds(self, query: Mapping[str, Any]) -> bool:
        """A named limit is `max`, or a number from 1 to the policy's limit; 0 would mean everything."""
        if not self._pagination_limit:
            return True
        if "limit" not in query:
            return "limit" not in self._required
        text = str(query["limit"])
        if text == "max":
            return True
        return text.isascii() and text.isdigit() and len(text) < 19 and 1 <= int(text) <= self._pagination_limit


def _join(joined: dict[str, tuple[Any, ...]], added: Mapping[str, tuple[Any, ...]]) -> None:
    for key, values in added.items():
        existing = joined.get(key)
        joined[key] = () if not values or existing == () else (*(existing or ()), *values)


def _smaller(one: int, two: int) -> int:
    """The smaller of two bounds that are set; 0 is unset."""
    return min(one, two) if one and two else one or two


def _listed(key: str, value: Any, parameters: Mapping[str, tuple[Any, ...]], *, star: bool = False) -> bool:
    """Whether the parameter is named with this value, or with no values, which is any.

    `star`: a value of just `*` means every string. Vault takes it for the character itself; as an allowed value that
    errs on the safe side, as a denied one it would deny nothing its author meant.
    """
    values = parameters.get(key.lower())
    if values is None:
        return False
    return not values or any(_same(pattern, value, star=star) for pattern in values)


def _same(pattern: Any, value: Any, *, star: bool) -> bool:
    if isinstance(pattern, str) and isinstance(value, str):
        return (star and pattern == "*") or _globbed(pattern, value)
    return _equal(pattern, value)


def _globbed(pattern: str, value: str) -> bool:
    """`*` at either end of a pattern of two characters or more stands for any text."""
    if len(pattern) < 2:
        return pattern == value
    if pattern.startswith("*") and pattern.endswith("*"):
        return pattern[1:-1] in value
    if pattern.startswith("*"):
        return value.endswith(pattern[1:])
    if pattern.endswith("*"):
        return value.startswith(pattern[:-1])
    return pattern == value


def _equal(one: Any, two: Any) -> bool:
    """Deep equality of JSON values, in which true is not 1 although Python says so."""
    if isinstance(one, bool) or isinstance(two, bool):
        return one is two
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(_equal(left, right) for left, right in zip(one, two, strict=True))
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(_equal(one[key], two[key]) for key in one)
    return bool(one == two)
