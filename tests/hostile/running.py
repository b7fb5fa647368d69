"""Running one input against one decoder, and judging what came of it: the error, the memory, the time.

A decoder may return, or raise what it says that it raises. Anything else is a finding: another exception, more memory
than a multiple of what it was given, or more processor time than any input of this size can need.
"""

from __future__ import annotations

import signal
import sys
import tracemalloc
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from tests.hostile.mutate import mutated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType, ModuleType

CPU_S = 2.0  # of one input: thousands of times what a good one takes, and it may be traced
MEMORY_BASE_BYTES = 1 << 20
TRACED_EVERY = 4
MEASURED_EVERY = 8
CORPUS_MAX = 2000


@dataclass(frozen=True)
class Target:
    """One decoder. What it may need at its peak: `memory_base_bytes`, and `memory_factor` for each byte of input."""

    name: str
    run: Callable[[bytes], object]
    raises: tuple[type[BaseException], ...]
    seeds: tuple[bytes, ...]
    modules: tuple[ModuleType, ...]
    packed_at: int | None = None
    memory_factor: int = 64
    memory_base_bytes: int = MEMORY_BASE_BYTES
    repair: Callable[[bytes], bytes] = lambda data: data  # makes checksums right again, so that what is behind is seen


@dataclass(frozen=True)
class Finding:
    """An input that a decoder does not bear."""

    target: str
    what: str
    data: bytes

    def __str__(self) -> str:
        shown = self.data.hex()
        return (
            f"{self.target}: {self.what}\n  replay: python -m tests.hostile.fuzz --target {self.target} "
            f"--input {shown if len(shown) < 4000 else shown[:4000] + f'… ({len(self.data)} bytes)'}"
        )


class SpinError(BaseException):
    """The decoder used up its time. Not an Exception: no handler of the product may swallow it."""


def _spins(_signal: int, _frame: FrameType | None) -> None:
    raise SpinError


def judge(target: Target, data: bytes, *, measured: bool) -> str | None:
    """What is wrong with how the target bears the input; None if nothing is."""
    before = signal.signal(signal.SIGVTALRM, _spins)
    if measured:
        tracemalloc.start()
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_S * (4 if measured else 1))
    what = None
    try:
        target.run(data)
    except target.raises:
        pass
    except KeyboardInterrupt:
        raise
    except SpinError:
        what = f"more than {CPU_S} s of processor time"
    except BaseException as error:  # noqa: BLE001 - whatever it is, it escaped
        what = f"{type(error).__name__} escapes from {_place(error)}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        if measured:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            if what is None and peak > target.memory_base_bytes + target.memory_factor * len(data):
                what = f"{peak} bytes of memory for {len(data)} bytes of input"
        signal.signal(signal.SIGVTALRM, before)
    return what


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    place = "nowhere"
    while trace is not None:
        code = trace.tb_frame.f_code
        if "/cluster/" in code.co_filename or "/node/" in code.co_filename:
            place = f"{code.co_filename.rsplit('/', 2)[-2]}/{code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


class Lines:
    """Which lines of some modules were executed."""

    def __init__(self, modules: tuple[ModuleType, ...]) -> None:
        self._files = {module.__file__ for module in modules}
        self.seen: set[tuple[CodeType, int]] = set()
        self._new = False

    def _call(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        return self._line if frame.f_code.co_filename in self._files else None

    def _line(self, frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line":
            place = (frame.f_code, frame.f_lineno)
            if place not in self.seen:
                self.seen.add(place)
                self._new = True
        return self._line

    def covers(self, action: Callable[[], str | None]) -> tuple[str | None, bool]:
        """What the action says, and whether it came where none came before."""
        self._new = False
        before = sys.gettrace()
        sys.settrace(self._call)
        try:
            return action(), self._new
        finally:
            sys.settrace(before)


@dataclass
class Run:
    """One target, a seed, and what is known so far."""

    target: Target
    seed: int
    known: tuple[bytes, ...] = ()  # found in earlier runs: seeds of this one
    inputs: int = 0
    corpus: list[bytes] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._source = Random(f"{self.target.name} {self.seed}")
        self._lines = Lines(self.target.modules)
        self.corpus = [*self.target.seeds, *self.known]
        self._whats: set[str] = set()

    @property
    def lines(self) -> int:
        """How many lines of the target's modules were executed."""
        return len(self._lines.seen)

    def steps(self) -> Iterator[None]:
        """One input a step, for ever."""
        for data in list(self.corpus):
            self._try(data, traced=True, measured=True)
            yield
        while True:
            data = mutated(self._source, self.corpus, self.target.packed_at)
            if self._source.random() < 0.8:
                data = self.target.repair(data)
            number = self.inputs
            self._try(data, traced=number % TRACED_EVERY == 0, measured=number % MEASURED_EVERY == 1)
            yield

    def _try(self, data: bytes, *, traced: bool, measured: bool) -> None:
        self.inputs += 1
        if traced:
            what, new = self._lines.covers(lambda: judge(self.target, data, measured=False))
            if new and len(self.corpus) < CORPUS_MAX:
                self.corpus.append(data)
        else:
            what = judge(self.target, data, measured=measured)
        if what is not None and _kind(what) not in self._whats:
            self._whats.add(_kind(what))
            self.findings.append(Finding(self.target.name, what, self._smaller(data, what)))

    def _smaller(self, data: bytes, what: str) -> bytes:
        """A shorter input with the same effect, found by leaving parts out."""
        if "processor" in what:
            return data
        size = len(data) // 2
        tries = 0
        while size and tries < 300:
            at = 0
            while at < len(data) and tries < 300:
                shorter = data[:at] + data[at + size :]
                tries += 1
                found = judge(self.target, shorter, measured="memory" in what)
                if found is not None and _kind(found) == _kind(what):
                    data = shorter
                else:
                    at += size
            size //= 2
        return data


def _kind(what: str) -> str:
    return "memory" if "memory" in what else what
