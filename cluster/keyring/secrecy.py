"""What every type that holds a secret has in common: it can be wiped, says nothing, and is never copied.

Pure. Invariants: `wipe` overwrites in place and never moves the buffer; a `Secret` has a fixed repr whatever it holds,
and refuses pickling and copying, so that no log line, trace or queue can carry it away. Bytes and str made on the way
(JSON, HTTP buffers, cipher contexts) cannot be overwritten by Python: docs/threat-model.md says so.
"""

from __future__ import annotations

from typing import NoReturn


def wipe(buffer: bytearray) -> None:
    """Every byte of the buffer is zero; its length is unchanged."""
    # A slice of the same length is written in place: no second copy of the old bytes comes to be.
    buffer[:] = bytes(len(buffer))


class Secret:
    """Base of types that hold keys or plaintext. Not a dataclass: those can be serialised by anyone."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        msg = f"{type(self).__name__} holds secrets and is neither pickled nor copied"
        raise TypeError(msg)
