"""The matcher that the tree replaced: patterns in lists by their literal heads, each tried in turn by an expression.

It was held against a running OpenBao and against the rule book, and is slow where many patterns begin alike. Kept to
hold the tree against.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Listed(NamedTuple):
    """A pattern split where its first wildcard stands."""

    pattern: str
    head: str
    tail: re.Pattern[str] | None
    rank: tuple[bool, int, int, str]


class ListedMatcher:
    """Patterns, exact ones and those with wildcards."""

    def __init__(self, patterns: list[str]) -> None:
        split = [(pattern, _split(pattern)) for pattern in patterns]
        self._exact = {pattern for pattern, wildcard in split if wildcard is None}
        wildcards = [wildcard for _, wildcard in split if wildcard is not None]
        self._by_head: dict[str, list[Listed]] = {}
        for wildcard in sorted(wildcards, key=lambda wildcard: wildcard.rank, reverse=True):
            self._by_head.setdefault(wildcard.head, []).append(wildcard)
        self._lengths = sorted({len(head) for head in self._by_head}, reverse=True)

    def find(self, path: str) -> str | None:
        """The one pattern that counts for a request."""
        return path if path in self._exact else self._wildcard(path)

    def find_listed(self, path: str) -> str | None:
        """The one pattern that counts for a listing: with its slash first, exact ones before others."""
        bare = path.removesuffix("/")
        for exact in (path, bare):
            if exact in self._exact:
                return exact
        return self._wildcard(path) or self._wildcard(bare)

    def _wildcard(self, path: str) -> str | None:
        for length in self._lengths:
            if length > len(path):
                continue
            for wildcard in self._by_head.get(path[:length], ()):
                if wildcard.tail is None or wildcard.tail.match(path, length):
                    return wildcard.pattern
        return None


def _split(pattern: str) -> Listed | None:
    segments = pattern.split("/")
    is_prefix = pattern.endswith("*")
    literal = pattern.removesuffix("*") if is_prefix else pattern
    rank = (not is_prefix, -literal.split("/").count("+"), len(literal), literal)
    if "+" not in segments:
        return Listed(pattern, literal, None, rank) if is_prefix else None
    head = "".join(f"{segment}/" for segment in segments[: segments.index("+")])
    expression = "/".join("[^/]*" if part == "+" else re.escape(part) for part in literal[len(head) :].split("/"))
    return Listed(pattern, head, re.compile(expression + ("" if is_prefix else r"\Z")), rank)
