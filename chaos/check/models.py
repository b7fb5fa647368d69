"""What a register with versions and a policy do, one step at a time: the models of wgl.py. Pure.

A step that could lead to no order is refused at once (wgl.py, G2): a write of unknown outcome whose value was read fits
only the version at which it was read; one that nobody read fits only a version that nobody names, and of several such
writes the one that was invoked first is as good as any other. Without that, ten timeouts would be a thousand orders.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .witness import value_of
from .words import is_mismatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from chaos.history import Operation

POLICY: Final = frozenset({"flip", "try"})
UNSEEN: Final = ("unseen",)  # instead of a value that nobody read


class Register:
    """A KV v2 path; its state is (version, value)."""

    initial: tuple[int, Any] = (0, None)

    def __init__(self, operations: Iterable[Operation]) -> None:
        """What says nothing is left out: reads that failed, writes that surely were not done."""
        said = [one for one in operations if _says_something(one)]
        self.operations: Sequence[Operation] = said
        self.observers = frozenset(n for n, one in enumerate(said) if one.f == "read" or one.outcome == "fail")
        reads = [one for one in said if one.f == "read"]
        self._read_at: dict[str, set[int | None]] = {}
        for one in reads:
            self._read_at.setdefault(repr(one.result), set()).add(one.version)
        self._named = {one.version for one in said if one.outcome == "ok" and one.version is not None}
        self._needs = _queue(said, lambda one: one.f == "write" and repr(one.argument) not in self._read_at)

    def step(self, number: int, state: tuple[int, Any], taken: int) -> tuple[int, Any] | None:
        """See Model."""
        one = self.operations[number]
        version, value = state
        if one.f == "read":
            fits = one.result == value and one.version in {version, None}
            return state if fits else None
        if one.outcome == "fail":  # a cas that was refused
            return state if version != one.argument[0] else None
        if one.f == "cas" and version != one.argument[0]:
            return None
        if one.outcome == "ok":
            return (version + 1, value_of(one)) if one.version in {version + 1, None} else None
        return self._unknown(number, version + 1, taken)

    def _unknown(self, number: int, made: int, taken: int) -> tuple[int, Any] | None:
        value = value_of(self.operations[number])
        read_at = self._read_at.get(repr(value))
        if read_at is not None:
            return (made, value) if made in read_at or None in read_at or made not in self._named else None
        needs = self._needs.get(number)
        if made in self._named or (needs is not None and not taken >> needs & 1):
            return None
        return (made, UNSEEN)


class Policy:
    """A policy that allows or denies; its state is "", while nobody knows it, or the word."""

    initial: str = ""

    def __init__(self, operations: Iterable[Operation]) -> None:
        """Tries without an answer, and flips that surely were not done, say nothing."""
        said = [one for one in operations if one.outcome == "ok" or (one.f == "flip" and one.outcome == "info")]
        self.operations: Sequence[Operation] = said
        self.observers = frozenset(n for n, one in enumerate(said) if one.f == "try")
        self._needs = {
            number: needed
            for word in ("allow", "deny")
            for number, needed in _queue(said, lambda one, word=word: one.f == "flip" and one.argument == word).items()
        }

    def step(self, number: int, state: str, taken: int) -> str | None:
        """See Model."""
        one = self.operations[number]
        if one.f == "try":
            return str(one.result) if state in {"", one.result} else None
        if one.outcome == "info":
            needs = self._needs.get(number)
            if state == one.argument or (needs is not None and not taken >> needs & 1):
                return None
        return str(one.argument)


def _says_something(one: Operation) -> bool:
    if one.f == "read":
        return one.outcome == "ok"
    return one.outcome != "fail" or is_mismatch(one)


def _queue(operations: Sequence[Operation], wanted: Any) -> dict[int, int]:
    """Of the operations of unknown outcome that are wanted: each one's number → the one that was invoked before it."""
    numbers = [n for n, one in enumerate(operations) if one.outcome == "info" and wanted(one)]
    numbers.sort(key=lambda number: operations[number].called_ns)
    return dict(zip(numbers[1:], numbers[:-1], strict=True))
