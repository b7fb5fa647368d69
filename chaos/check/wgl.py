"""Linearizability by search: is there any order at all? The second opinion, for registers and for policies.

Wing and Gong's search with Lowe's memory, as in Porcupine: take an operation that nothing unfinished precedes, step
the model, go back when the first return of what was not taken is reached. What only looks is taken at once. It is
exponential at worst, so each key has a budget of steps; a key that uses it up is unknown, and counted. Operations of
unknown outcome may be taken or not.

Invariants
  G1  `False` is a proof within the model; `None` says only that the budget was used up
  G2  what is left out of the search can be in no order, or only in one that another order stands for
Source: Wing and Gong, Testing and Verifying Concurrent Objects (1993); Lowe, Testing for Linearizability (2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, Protocol

from .base import Verdict, held, unknown
from .models import POLICY, Policy, Register
from .persisted import settled
from .witness import registers
from .words import Impossible, by_key, refuted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.folder import RunFolder
    from chaos.history import Operation

KEY_STEPS: Final = 400_000
ALL_STEPS: Final = 20_000_000


class Model(Protocol):
    """One kind of object. `operations` are those that say anything; of them the unknown come by number."""

    operations: Sequence[Operation]
    initial: Any
    observers: frozenset[int]  # numbers of those of known outcome that change nothing in any state

    def step(self, number: int, state: Any, taken: int) -> Any:
        """The state after that operation, None if it cannot come now; `taken`: bits of those of unknown outcome."""
        ...


class Found(NamedTuple):
    """Whether there is an order, None if the budget was used up; steps taken; where the longest attempt stuck."""

    legal: bool | None
    steps: int
    stuck: Operation | None = None


class Wgl:
    """See the module's paragraph."""

    name: ClassVar[str] = "wgl"
    verified: ClassVar[str] = (
        "by search: some order of each key's writes, compare-and-sets and reads, and of each policy's flips and tries, "
        "keeps real time and explains every answer"
    )
    not_verified: ClassVar[str] = (
        "keys on which the budget of steps was used up (they make the verdict unknown); keys against each other"
    )

    def __init__(self, key_steps: int = KEY_STEPS, all_steps: int = ALL_STEPS) -> None:
        self._key_steps = key_steps
        self._all_steps = all_steps

    def check(self, run: RunFolder) -> Verdict:
        """See Checker."""
        known = settled(run)
        models: dict[str, Model] = {key: Register(group) for key, group in registers(known.operations).items()}
        models |= {key: Policy(group) for key, group in by_key(run.operations, POLICY).items()}
        models = {key: model for key, model in models.items() if any(one.outcome == "ok" for one in model.operations)}
        steps, given_up = 0, 0
        wrong: list[Impossible] = []
        for model in models.values():
            found = search(model, min(self._key_steps, self._all_steps - steps))
            steps += found.steps
            given_up += found.legal is None
            if found.legal is False and found.stuck is not None:
                wrong.append(Impossible("no order explains the answers up to this one", (found.stuck,)))
        count = sum(len(model.operations) for model in models.values())
        numbers: dict[str, Any] = {"keys": len(models), "operations": count, "steps": steps, "keys_given_up": given_up}
        numbers |= known.numbers
        if wrong:
            return refuted(self, f"{len(wrong)} of {len(models)} keys have no order", wrong, numbers)
        if not models:
            return unknown(self, "nothing that could be ordered was acknowledged", **numbers)
        if given_up:
            return unknown(self, f"the budget was used up on {given_up} of {len(models)} keys", **numbers)
        return held(self, f"{len(models)} keys with {count} operations have an order", **numbers)


@dataclass(slots=True)
class _At:
    """How far an attempt is: of operations of known outcome the first `low` are done, and those of the bits above."""

    state: Any
    low: int = 0
    done: int = 0
    taken: int = 0  # bits of operations of unknown outcome

    @property
    def key(self) -> tuple[int, int, int, Any]:
        """Two attempts that agree in it have the same future."""
        return self.low, self.done, self.taken, self.state


def search(model: Model, budget: int = KEY_STEPS) -> Found:
    """G1."""
    return _Search(model).run(budget)


class _Search:
    """The list of events from which operations are lifted, and put back."""

    def __init__(self, model: Model) -> None:
        self._model = model
        operations = model.operations
        events: list[tuple[float, int, int]] = []
        for number, one in enumerate(operations):
            events.append((one.called_ns, 0, number))
            if one.outcome != "info":
                events.append((one.returned_ns, 1, number))
        events.sort()
        size = len(events)
        self._after = [*range(1, size + 2), 0]
        self._before = [0, *range(size + 1)]
        self._end = size + 1
        self._number = [0, *(number for _, _, number in events), 0]
        self._is_call = [False, *(kind == 0 for _, kind, _ in events), False]
        self._call = [0] * len(operations)
        self._return = [0] * len(operations)
        for place, (_, kind, number) in enumerate(events, 1):
            (self._return if kind else self._call)[number] = place
        known = [number for _, kind, number in events if kind == 0 and operations[number].outcome != "info"]
        self._rank = {number: rank for rank, number in enumerate(known)}
        self._steps = 0

    def run(self, budget: int) -> Found:
        """G1. At each place operations of known outcome are tried first: the unknown may wait for ever."""
        model, after, all_known = self._model, self._after, len(self._rank)
        at = _At(model.initial)
        seen: set[tuple[int, int, int, Any]] = set()
        way: list[tuple[int, _At, list[int]]] = []  # what was taken, from where, and what was absorbed there
        absorbed = self._absorb(at)
        place, farthest, tries_unknown = after[0], 0, False
        while at.low < all_known:
            if self._steps > budget:
                return Found(None, self._steps)
            if self._is_call[place]:
                number = self._number[place]
                place = after[place]
                if (number in self._rank) is tries_unknown:
                    continue
                self._steps += 1
                new = model.step(number, at.state, at.taken)
                if new is None:
                    continue
                to = self._marked(number, at)
                to.state = new
                if to.key in seen:
                    continue
                seen.add(to.key)
                way.append((number, at, absorbed))
                at = to
                self._lift(number)
                absorbed = self._absorb(at)
                place, tries_unknown = after[0], False
                continue
            farthest = max(farthest, place)
            if not tries_unknown:
                place, tries_unknown = after[0], True
                continue
            for number in reversed(absorbed):
                self._put_back(number)
            if not way:
                return Found(False, self._steps, model.operations[self._number[farthest]])
            number, at, absorbed = way.pop()
            self._put_back(number)
            place, tries_unknown = after[self._call[number]], number not in self._rank
        return Found(True, self._steps)

    def _absorb(self, at: _At) -> list[int]:
        """Every observer that may come now is taken: no order is lost by that (G2)."""
        taken = []
        place = self._after[0]
        while self._is_call[place]:
            number = self._number[place]
            place = self._after[place]
            if number not in self._model.observers:
                continue
            self._steps += 1
            if self._model.step(number, at.state, at.taken) == at.state:
                marked = self._marked(number, at)
                at.low, at.done = marked.low, marked.done
                before = self._before[self._call[number]]
                self._lift(number)
                taken.append(number)
                place = self._after[before]
        return taken

    def _marked(self, number: int, at: _At) -> _At:
        rank = self._rank.get(number)
        if rank is None:
            return _At(at.state, at.low, at.done, at.taken | 1 << number)
        low, done = at.low, at.done | 1 << (rank - at.low)
        while done & 1:
            done >>= 1
            low += 1
        return _At(at.state, low, done, at.taken)

    def _lift(self, number: int) -> None:
        after, before = self._after, self._before
        for place in (self._call[number], self._return[number]):
            if place:
                after[before[place]] = after[place]
                before[after[place]] = before[place]

    def _put_back(self, number: int) -> None:
        after, before = self._after, self._before
        for place in (self._return[number], self._call[number]):
            if place:
                after[before[place]] = place
                before[after[place]] = place
