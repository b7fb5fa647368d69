"""Which rule applies to a path, and what it allows: the access control list of one set of policies.

Pure. `Acl.compile` merges the rules of all policies per identical path string; `Acl.check` finds the one path string
that counts and asks it. Compiled once per token and epoch, asked on every request: an exact rule is one dict lookup,
a wildcard is found by the lengths of the literal heads, longest first.

Invariants
  M1  exactly one path string counts for a request; other patterns that match add and take nothing
  M2  among patterns with wildcards the one counts whose first `+` or `*` comes later; then the one that does not
      end in `*`; then the one with fewer `+`; then the longer; then the lexicographically larger
  M3  for list and scan the path is asked with and without its trailing slash, with it first, exact rules before
      wildcards: a rule for `kv/dir` or `kv/dir/` holds for both spellings, and a deny on `kv/dir/*` is not dodged by
      a grant on `kv/*` (OpenBao advisory GHSA-xp3c-3jw3-4vcr)
  M4  deny in any policy clears the path string; what no rule names is refused
Source: Vault, "Policies: Policy syntax, Priority matching"; checked against a running OpenBao.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from . import capabilities, templates
from .document import Document, PolicyError
from .grant import DENIED, Decision, Grant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .templates import Identity

_LISTINGS = frozenset({"list", "scan"})
_HELP = Decision(allowed=True)
_ROOT = Decision(allowed=True, granting_policies=("root",), sudo=True, is_root=True)


@dataclass(frozen=True, slots=True)
class _Wildcard:
    """A pattern with `+` or a final `*`, split where its first wildcard stands."""

    pattern: str
    head: str  # literal text before the first wildcard
    tail: re.Pattern[str] | None  # what must follow the head; None = anything (`head*`)
    is_prefix: bool  # ends in `*`
    grant: Grant

    @property
    def rank(self) -> tuple[bool, int, int, str]:
        """Order among patterns with the same head, higher counts."""
        literal = self.pattern.removesuffix("*") if self.is_prefix else self.pattern
        return (not self.is_prefix, -literal.split("/").count("+"), len(literal), literal)


class Acl:
    """What a set of policies allows. Immutable once compiled."""

    __slots__ = ("_by_head", "_exact", "_head_lengths", "_is_root")
    ROOT: ClassVar[Acl]

    def __init__(self, grants: Mapping[str, Grant], *, is_root: bool = False) -> None:
        self._is_root = is_root
        self._exact: dict[str, Grant] = {}
        by_head: dict[str, list[_Wildcard]] = {}
        for pattern, grant in grants.items():
            wildcard = _wildcard(pattern, grant)
            if wildcard is None:
                self._exact[pattern] = grant
            else:
                by_head.setdefault(wildcard.head, []).append(wildcard)
        self._by_head = {
            head: tuple(sorted(wildcards, key=lambda wildcard: wildcard.rank, reverse=True))
            for head, wildcards in by_head.items()
        }
        self._head_lengths = tuple(sorted({len(head) for head in by_head}, reverse=True))

    @classmethod
    def compile(
        cls, documents: Iterable[tuple[str, Document]], identity: Identity | None = None, now_s: int | None = None
    ) -> Acl:
        """The rules of (policy name, document) pairs, merged per path string, templates filled in for `identity`.

        A list compiled with `now_s` holds for that instant. Raises PolicyError when root comes with other policies.
        """
        named = tuple(documents)
        if any(name == "root" for name, _ in named):
            if len(named) > 1:
                raise PolicyError("other policies present along with root")
            return cls.ROOT
        grants: dict[str, Grant] = {}
        for name, document in named:
            for rule in document.rules:
                path = templates.expand(rule.path, identity, now_s) if rule.templated else rule.path
                if path is not None:
                    grants.setdefault(path, Grant()).add(name, rule)
        for grant in grants.values():
            grant.freeze()
        return cls(grants)

    def check(
        self, operation: str, path: str, *, body: Mapping[str, Any] | None = None, wrap_ttl_s: int | None = None
    ) -> Decision:
        """Whether the operation is allowed on the path (as the engine will use it, without `/v1/`).

        `body` is the request's body, for read and list its query. Help is allowed to everybody who may ask. Sudo
        paths also need `Decision.sudo`; see `builtin.needs_sudo`.
        """
        if self._is_root:
            return _ROOT
        if operation == "help":
            return _HELP
        if path[:1] == "/":
            path = path.lstrip("/")
        if operation in _LISTINGS:
            # The edge adds the slash already; a caller that does not must not get round a deny on `kv/dir/`.
            grant = self._find_listed(path if path[-1:] in {"/", ""} else f"{path}/")
        else:
            grant = self._exact.get(path) or self._find_wildcard(path)
        if grant is None:
            return DENIED
        if grant.is_plain:
            return grant.decisions.get(operation, DENIED)
        return grant.judge(operation, body, wrap_ttl_s)

    def reads_plainly(self, path: str) -> bool:
        """Whether reading the path is allowed by a rule that asks nothing of parameters or wrapping."""
        if self._is_root:
            return True
        grant = self._exact.get(path) or self._find_wildcard(path)
        return grant is not None and grant.is_plain and "read" in grant.decisions

    def capabilities(self, path: str) -> list[str]:
        """The sorted capabilities on a path, as `sys/capabilities` answers; `["deny"]` for none, `["root"]` for root.

        The path is looked up as a listing would look it up, as Vault does.
        """
        if self._is_root:
            return ["root"]
        grant = self._find_listed(path.lstrip("/"))
        return ["deny"] if grant is None else capabilities.words(grant.capabilities)

    def patterns(self) -> dict[str, list[str]]:
        """Every path pattern with its sorted capabilities, for `sys/internal/ui/resultant-acl`."""
        grants = dict(self._exact)
        grants.update({wildcard.pattern: wildcard.grant for group in self._by_head.values() for wildcard in group})
        return {pattern: capabilities.words(grant.capabilities) for pattern, grant in sorted(grants.items())}

    def reaches(self, prefix: str) -> bool:
        """Whether some rule grants something at or below a prefix that ends in `/`: may a mount be shown?"""
        return self._is_root or any(
            words != ["deny"] and _may_lie_below(pattern, prefix) for pattern, words in self.patterns().items()
        )

    def _find_listed(self, path: str) -> Grant | None:
        bare = path.removesuffix("/")
        return self._exact.get(path) or self._exact.get(bare) or self._find_wildcard(path) or self._find_wildcard(bare)

    def _find_wildcard(self, path: str) -> Grant | None:
        """The grant of the highest matching pattern with a wildcard."""
        by_head = self._by_head
        length = len(path)
        for head_length in self._head_lengths:
            if head_length > length:
                continue
            for wildcard in by_head.get(path[:head_length], ()):
                tail = wildcard.tail
                if tail is None or tail.match(path, head_length):
                    return wildcard.grant
        return None


Acl.ROOT = Acl({}, is_root=True)


def _wildcard(pattern: str, grant: Grant) -> _Wildcard | None:
    """The pattern split at its first wildcard; None when it has none. `+` counts only as a whole segment."""
    segments = pattern.split("/")
    is_prefix = pattern.endswith("*")
    if "+" not in segments:
        return _Wildcard(pattern, pattern[:-1], None, is_prefix, grant) if is_prefix else None
    first = segments.index("+")
    head = "".join(f"{segment}/" for segment in segments[:first])
    rest = pattern[len(head) :].removesuffix("*") if is_prefix else pattern[len(head) :]
    expression = "/".join("[^/]*" if segment == "+" else re.escape(segment) for segment in rest.split("/"))
    return _Wildcard(pattern, head, re.compile(expression + ("" if is_prefix else r"\Z")), is_prefix, grant)


def _may_lie_below(pattern: str, prefix: str) -> bool:
    """Whether the pattern can match a path that begins with the prefix."""
    is_prefix = pattern.endswith("*")
    ours, wanted = pattern.removesuffix("*").split("/"), prefix.split("/")[:-1]
    for index, segment in enumerate(wanted):
        is_last = index == len(ours) - 1
        if ours[index] not in {"+", segment} and not (is_prefix and is_last and segment.startswith(ours[index])):
            return False
        if is_last:
            return is_prefix or index == len(wanted) - 1
    return True
