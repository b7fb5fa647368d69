"""Patterns with wildcards as a tree of path segments: which of them counts for a path, however many there are.

Pure. A walk goes down by the segments of the path, so its cost depends on the path's length, and on the patterns with
`+` that match a beginning of it, not on how many patterns there are. Built once, then only asked; no recursion, so a
pattern of thousands of segments costs what its text costs.

Invariants
  W1  of all patterns that match, the one with the highest rank is found: first its first wildcard, the later the
      higher; then not to end in `*`; then fewer `+`; then the longer; then the lexicographically larger
  W2  `+` is a whole segment or a literal; `*` is the last character or a literal
Source: Vault, "Policies: Policy syntax, Priority matching".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .grant import Grant

_NOWHERE = -1


class _Node:
    """Where some patterns have come after so many segments."""

    __slots__ = ("end", "highest", "is_wild", "lengths", "literals", "plus", "rest", "starts")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}  # next segment → where it leads
        self.plus: _Node | None = None  # where any next segment leads
        self.starts: dict[str, tuple[int, Grant]] = {}  # `start*` as the last segment → its place in rank, its grant
        self.lengths: tuple[int, ...] = ()  # of the starts, longest first
        self.end: tuple[int, Grant] | None = None  # the pattern that ends here without `*`
        self.highest = _NOWHERE  # place in rank of the highest pattern at or below
        self.is_wild = False  # some first wildcard stands here
        self.rest: Grant | None = None  # of `*`, where nothing higher begins here


class Trie:
    """The patterns of one access control list that have a wildcard."""

    __slots__ = ("_root", "grants")

    def __init__(self, grants: Mapping[str, Grant]) -> None:
        self.grants = grants
        self._root = _Node()
        for place, pattern in enumerate(sorted(grants, key=rank)):
            self._add(place, pattern, grants[pattern])

    def find(self, path: str) -> Grant | None:
        """The grant of the highest pattern that matches, or None."""
        segments = path.split("/")
        certain: Grant | None = None  # the deepest `…/*` on the literal way down: it matches whatever follows
        spine: list[tuple[int, _Node]] = []  # below it, where something else may match
        node = self._root
        for at, segment in enumerate(segments):
            if node.rest is not None:
                certain = node.rest
                spine.clear()
            elif node.is_wild:
                spine.append((at, node))
            following = node.literals.get(segment)
            if following is None:
                break
            node = following
        # A first wildcard that stands deeper is a later one, so the first that is found is the highest.
        while spine:
            at, node = spine.pop()
            found = _first_of(node, segments[at])
            if node.plus is not None and (found is None or found[0] < node.plus.highest):
                found = _highest(node.plus, segments, at + 1, found)
            if found is not None:
                return found[1]
        return certain

    def _add(self, place: int, pattern: str, grant: Grant) -> None:
        """Patterns come in the order of their rank, so that the last is always the highest yet."""
        is_prefix = pattern.endswith("*")
        *ways, last = pattern.removesuffix("*").split("/") if is_prefix else [*pattern.split("/"), ""]
        node, is_literal = self._root, True
        for segment in ways:
            node.highest = place
            if segment == "+":
                node.is_wild |= is_literal
                is_literal = False
                node.rest = None
                node.plus = node.plus or _Node()
                node = node.plus
            else:
                node = node.literals.setdefault(segment, _Node())
        node.highest = place
        if is_prefix:
            node.is_wild |= is_literal
            node.starts[last] = (place, grant)
            node.lengths = tuple(sorted({*node.lengths, len(last)}, reverse=True))
            node.rest = grant if node.lengths == (0,) else None
        else:
            node.end = (place, grant)


def is_wildcard(pattern: str) -> bool:
    """Whether the pattern stands for more than one path."""
    return pattern.endswith("*") or "+" in pattern.split("/")


def rank(pattern: str) -> tuple[int, bool, int, int, str]:
    """Order among patterns with wildcards: of two that match, the one with the higher rank counts."""
    is_prefix = pattern.endswith("*")
    literal = pattern[:-1] if is_prefix else pattern
    segments = pattern.split("/")
    pluses = segments.count("+")
    first = sum(len(segment) + 1 for segment in segments[: segments.index("+")]) if pluses else len(literal)
    return (first, not is_prefix, -pluses, len(literal), literal)


def _first_of(node: _Node, segment: str) -> tuple[int, Grant] | None:
    """The longest start of the segment; one cut shorter than its length is the segment itself, which is longer."""
    for length in node.lengths:
        found = node.starts.get(segment[:length])
        if found is not None:
            return found
    return None


def _highest(start: _Node, segments: list[str], at: int, best: tuple[int, Grant] | None) -> tuple[int, Grant] | None:
    """`best`, or what stands higher below `start`, which is where the segments before `at` have led."""
    place = _NOWHERE if best is None else best[0]
    ways = [(start, at)]
    while ways:
        node, at = ways.pop()
        if node.highest <= place:
            continue
        found = _first_of(node, segments[at]) if at < len(segments) else node.end
        if found is not None and found[0] > place:
            place, best = found[0], found
        if at == len(segments):
            continue
        if node.plus is not None:
            ways.append((node.plus, at + 1))
        following = node.literals.get(segments[at])
        if following is not None:
            ways.append((following, at + 1))
    return best
