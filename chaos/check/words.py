"""How checkers sort operations, speak of them, and state times as distributions. Pure."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .base import Verdict, violated

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from chaos.history import Event, Operation

    from .base import Checker

WRITES: Final = frozenset({"write", "cas", "add", "append", "issue", "revoke", "flip", "login"})
READS: Final = frozenset({"read", "members", "list", "try"})


class Impossible(NamedTuple):
    """What cannot be, and the operations that show it."""

    why: str
    operations: tuple[Operation, ...]

    def told(self) -> str:
        """In words."""
        return f"{self.why}: " + " / ".join(map(told, self.operations))


def refuted(checker: Checker, summary: str, found: Sequence[Impossible], numbers: dict[str, Any]) -> Verdict:
    """Violated: everything that cannot be is told, the operations of the first are named. There is at least one."""
    indexes = [one.index for one in found[0].operations]
    return replace(violated(checker, summary, [one.told() for one in found], indexes), numbers=numbers)


def told(operation: Operation) -> str:
    """One operation in one line; its values are markers of the run."""
    parts = [f"#{operation.index} process {operation.process} {operation.f} {operation.key}"]
    if operation.argument is not None:
        parts.append(shortened(operation.argument))
    outcome: str = operation.outcome
    if outcome == "ok" and operation.result is not None:
        outcome = f"ok {shortened(operation.result)}"
    parts.append(f"-> {outcome}")
    if operation.version is not None:
        parts.append(f"version {operation.version}")
    parts.append(f"at {operation.node}" if operation.node else "")
    returned = "never" if math.isinf(operation.returned_ns) else f"{operation.returned_ns / 1e9:.4f}"
    parts.append(f"[{operation.called_ns / 1e9:.4f} s, {returned}]")
    return " ".join(part for part in parts if part)


def shortened(value: Any, most: int = 60) -> str:
    """At most so many characters."""
    text = str(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def is_write(one: Operation | Event) -> bool:
    """It changes the cluster's state if it is done; of `other` the key says so."""
    return one.f in WRITES or (one.f == "other" and one.key.endswith("write"))


def is_read(one: Operation | Event) -> bool:
    """It changes nothing."""
    return one.f in READS or (one.f == "other" and one.key.endswith(("read", "list")))


def by_key(operations: Iterable[Operation], fs: Container[str]) -> dict[str, list[Operation]]:
    """Those of these kinds, by what they are about, in the order of invocation."""
    found: dict[str, list[Operation]] = {}
    for one in operations:
        if one.f in fs:
            group = found.get(one.key)
            if group is None:
                found[one.key] = [one]
            else:
                group.append(one)
    return found


def is_mismatch(operation: Operation) -> bool:
    """A cas or append that was refused because the version was another."""
    return operation.outcome == "fail" and operation.more.get("mismatch") is True


def is_final(operation: Operation) -> bool:
    """One of the last reads, after everything healed."""
    return operation.more.get("final") is True


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that at least this share of them does not exceed. There is at least one value."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def distribution(values: Sequence[float]) -> dict[str, Any]:
    """Count, p50 and p100, for `numbers`."""
    return {"count": len(values), "p50_s": round(quantile(values, 0.5), 4), "p100_s": round(max(values), 4)}
