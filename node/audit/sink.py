"""What a device needs of the place its lines go to, and the places that need no care: standard output, nothing.

A shell: everything here may block and runs in the device's writer thread, never in the loop.
Invariants
  W1  bytes count as written when the kernel has taken them, or the disk where the device asks for that; never before
  W2  what may or may not have arrived is not written: the sink is then broken, and opening it anew says how far it is
      sure, and how far it is not
Source: docs/threat-model.md, audit.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .chain import Head

_STDOUT_FD = 1


class SinkError(OSError):
    """The sink cannot be opened; the text says why and repeats nothing but the place the operator wrote."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A sink as it was found: its newest whole line (None: it knows of none) and what stands behind that line.

    `unsure`: the newest line that may have arrived; None for a sink whose lines can be read, and so are known.
    """

    found: Head | None = None
    torn: bytes = b""
    unsure: Head | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """How many bytes are surely there, and what stopped the rest. `is_broken`: the rest may be there, too (W2)."""

    bytes: int
    error: OSError | None = None
    is_broken: bool = False


@dataclass(frozen=True, slots=True)
class Rotated:
    """Another file is open. `finished`: bytes of the unfinished line that still reached the old file, named `old`."""

    opened: Opened
    finished: int
    old: str


class Sink(Protocol):
    """Blocking calls, one at a time, all from the writer thread."""

    def open(self) -> Opened:
        """It takes bytes from now on. Raises SinkError."""
        ...

    def write(self, data: bytes) -> Written:
        """Adds the bytes, or as many as go. Never raises OSError."""
        ...

    def rotate(self, unfinished: bytes) -> Rotated | None:
        """Opens the path anew; None if it is the same file still. Raises SinkError, and goes on as before."""
        ...

    def close(self) -> None:
        """Takes nothing more."""
        ...


class DiscardSink:
    """Takes everything and keeps nothing: for finding out what audit costs."""

    def open(self) -> Opened:
        """See Sink."""
        return Opened()

    def write(self, data: bytes) -> Written:
        """See Sink."""
        return Written(len(data))

    def rotate(self, unfinished: bytes) -> Rotated | None:  # noqa: ARG002 - there is nothing to rotate
        """See Sink."""
        return None

    def close(self) -> None:
        """See Sink."""


class RefusedSink(DiscardSink):
    """Never opens, for the reason given."""

    def __init__(self, why: str) -> None:
        self._why = why

    def open(self) -> Opened:
        """See Sink."""
        raise SinkError(self._why)


class StdoutSink(DiscardSink):
    """Standard output, for collectors that read it. It has no past: its chain goes on from the last known head."""

    def write(self, data: bytes) -> Written:
        """See Sink."""
        return write_all(_STDOUT_FD, data)


def write_all(fd: int, data: bytes) -> Written:
    """Adds the bytes, or as many as go."""
    view = memoryview(data)
    done = 0
    try:
        while done < len(data):
            done += os.write(fd, view[done:])
    except OSError as error:
        return Written(done, error)
    return Written(done)
