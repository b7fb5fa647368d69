"""Which rule applies to a path, and what it allows: the access control list of one set of policies.

Pure. `Acl.compile` merges the rules of all policies per identical path string; `Acl.check` finds the one path string
that counts and asks it. Compiled once per set of policies and epoch, asked on every request: an exact rule is one dict
lookup, a wildcard is found in a tree of path segments (`trie`), whatever the number of rules.

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

from typing import TYPE_CHECKING, Any, ClassVar

from . import capabilities, templates
from .capabilities import NOTHING, Capability
from .document import Document, PolicyError
from .grant import DENIED, Decision, Grant
from .trie import Trie, is_wildcard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .document import PathRule
    from .templates import Identity

_LISTINGS = frozenset({"list", "scan"})
_LISTING = Capability.LIST | Capability.SCAN
_HELP = Decision(allowed=True)
_ROOT = Decision(allowed=True, granting_policies=("root",), sudo=True, is_root=True)


class Acl:
    """What a set of policies allows. Immutable once compiled."""

    __slots__ = ("_exact", "_is_root", "_wildcards")
    ROOT: ClassVar[Acl]

    def __init__(self, grants: Mapping[str, Grant], wildcards: Trie | None = None, *, is_root: bool = False) -> None:
        """`wildcards`, where the caller has them compiled already: then `grants` are the exact ones alone."""
        self._is_root = is_root
        if wildcards is None:
            wildcards = Trie({pattern: grant for pattern, grant in grants.items() if is_wildcard(pattern)})
            grants = {pattern: grant for pattern, grant in grants.items() if not is_wildcard(pattern)}
        self._exact = grants
        self._wildcards = wildcards

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
        return Rules(named).of(identity, now_s)

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
            grant = self._find_listed(_slashed(path))
        else:
            grant = self._exact.get(path) or self._wildcards.find(path)
        if grant is None:
            return DENIED
        if grant.is_plain:
            return grant.decisions.get(operation, DENIED)
        return grant.judge(operation, body, wrap_ttl_s)

    def names(self, operation: str, path: str) -> bool:
        """Whether some rule, be it one that denies, is about the path; root needs none."""
        if operation in _LISTINGS:
            return self._find_listed(_slashed(path)) is not None
        return path in self._exact or self._wildcards.find(path) is not None

    def reads_plainly(self, path: str) -> bool:
        """Whether reading the path is allowed by a rule that asks nothing of parameters or wrapping."""
        if self._is_root:
            return True
        grant = self._exact.get(path) or self._wildcards.find(path)
        return grant is not None and grant.is_plain and "read" in grant.decisions

    def capabilities(self, path: str, counts: str | None = None) -> list[str]:
        """The sorted capabilities on a path, as `sys/capabilities` answers; `["deny"]` for none, `["root"]` for root.

        What `check` says of each operation, conditions aside; `counts` is the spelling that counts, where the path has
        several. A listing's path ends in a slash: one without is said to be listable only where the rule for the path
        as written says so, too, as Vault answers.
        """
        if self._is_root:
            return ["root"]
        path = path.lstrip("/")
        counts = path if counts is None else counts
        granted = _granted(self._find, path, counts) & ~_LISTING
        listing = _granted(self._find_listed, _slashed(path), _slashed(counts))
        if path != _slashed(path):
            listing &= _granted(self._find_listed, path, counts)
        if listing & _LISTING:
            both = granted & listing & Capability.SUDO
            sudo = both if granted & ~Capability.SUDO else listing & Capability.SUDO
            granted = granted & ~Capability.SUDO | listing & _LISTING | sudo
        return capabilities.words(granted)

    def patterns(self) -> dict[str, list[str]]:
        """Every path pattern with its sorted capabilities, for `sys/internal/ui/resultant-acl`."""
        grants = {**self._exact, **self._wildcards.grants}
        return {pattern: capabilities.words(grant.capabilities) for pattern, grant in sorted(grants.items())}

    def reaches(self, prefix: str) -> bool:
        """Whether some rule grants something at or below a prefix that ends in `/`: may a mount be shown?"""
        return self._is_root or any(
            words != ["deny"] and _may_lie_below(pattern, prefix) for pattern, words in self.patterns().items()
        )

    def _find(self, path: str) -> Grant | None:
        return self._exact.get(path) or self._wildcards.find(path)

    def _find_listed(self, path: str) -> Grant | None:
        bare = path.removesuffix("/")
        found = self._exact.get(path) or self._exact.get(bare)
        return found or self._wildcards.find(path) or self._wildcards.find(bare)


Acl.ROOT = Acl({}, is_root=True)


class Rules:
    """The rules of (policy name, document) pairs without root, merged once; what is left for one identity is little.

    Everybody's list shares the grants of path strings that no template of theirs names.
    """

    def __init__(self, documents: Iterable[tuple[str, Document]]) -> None:
        rules = [(name, rule) for name, document in documents for rule in document.rules]
        self._templated = [(name, rule) for name, rule in rules if rule.templated]
        self._plain: dict[str, list[tuple[str, PathRule]]] = {}
        for name, rule in rules:
            if not rule.templated:
                self._plain.setdefault(rule.path, []).append((name, rule))
        grants = {path: _merged(named) for path, named in self._plain.items()}
        self._exact = {path: grant for path, grant in grants.items() if not is_wildcard(path)}
        self._wildcards = Trie({path: grant for path, grant in grants.items() if is_wildcard(path)})

    def of(self, identity: Identity | None, now_s: int | None = None) -> Acl:
        """As `Acl.compile`."""
        filled: dict[str, list[tuple[str, PathRule]]] = {}
        for name, rule in self._templated:
            path = templates.expand(rule.path, identity, now_s)
            if path is not None:
                filled.setdefault(path, []).append((name, rule))
        own = {path: _merged([*self._plain.get(path, ()), *named]) for path, named in filled.items()}
        if any(is_wildcard(path) for path in own):
            return Acl({**self._exact, **self._wildcards.grants, **own})
        return Acl({**self._exact, **own}, self._wildcards)


def _slashed(path: str) -> str:
    """The path of a listing of the path, as the edge makes it."""
    return path if path[-1:] in {"/", ""} else f"{path}/"


def _granted(find: Callable[[str], Grant | None], path: str, counts: str) -> Capability:
    """What the rule for the path grants and, where one is about the spelling that counts, that one grants, too.

    Whether there is sudo is then for that one to say.
    """
    granted = _held(find(path))
    own = find(counts) if granted and counts != path else None
    if own is None:
        return granted
    held = _held(own)
    return granted & held & ~Capability.SUDO | held & Capability.SUDO


def _held(grant: Grant | None) -> Capability:
    return NOTHING if grant is None or grant.capabilities & Capability.DENY else grant.capabilities


def _merged(rules: Iterable[tuple[str, PathRule]]) -> Grant:
    grant = Grant()
    for name, rule in rules:
        grant.add(name, rule)
    grant.freeze()
    return grant


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
