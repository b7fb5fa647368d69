"""The chain of one device on one node: each line says who wrote it, its number, and a MAC over it and all before it.

Pure. A line is `{…,"node":…,"device":…,"sequence":N,"chain":"HEX"}` and a newline; HEX is the HMAC-SHA256, under the
cluster's audit chain key, of the head before it (32 bytes) and the line up to `,"chain"`.
Invariants
  C1  sequences rise by one; the head before number 1 is 32 zero bytes
  C2  a file's first line is of type `open` and names the file, the sequence and the head it continues
  C3  what a crash left behind the last whole line stays where it is, and the `open` line after it states its length
      and SHA-256: bytes are never removed from an audit file
  C4  a number that is known to be used is never used again: after a lost tail the next `open` line skips it, and the
      step between `previous` and its own number says for ever that lines are missing
  C5  where lines went to a socket that broke, the next `open` line says up to which number they may have arrived:
      `unsure`; nobody was answered on their account
Source: B. Schneier, J. Kelsey, "Secure audit logs to support computer forensics".
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    Mac = Callable[[bytes], bytes]

MAC_BYTES = 32
GENESIS = bytes(MAC_BYTES)
SEQUENCE_MAX = 2**63 - 1

_CHAIN = b',"chain":"'
_END = b'"}\n'
_HEX_BYTES = 2 * MAC_BYTES
_SUFFIX_BYTES = len(_CHAIN) + _HEX_BYTES + len(_END)
_HEX_DIGITS = frozenset(b"0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain stands: the number of its newest line, its MAC, and the file that holds it."""

    sequence: int = 0
    mac: bytes = GENESIS
    file: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One line, taken apart. `body` is what the MAC covers besides the head before it."""

    node: str
    device: str
    sequence: int
    mac: bytes
    body: bytes
    type: str
    previous: Head | None = None  # of an `open` line
    unsure: Head | None = None  # of an `open` line
    torn_bytes: int = 0
    torn_sha256: str = ""


class Chain:
    """The writing end. `append` moves the head; `back_to` takes back lines that were never written."""

    __slots__ = ("_mac", "_tail", "head")

    def __init__(self, node: str, device: str, mac: Mac) -> None:
        self._mac = mac
        self._tail = b',"node":%b,"device":%b,"sequence":' % (_encode(node), _encode(device))
        self.head = Head()

    def __repr__(self) -> str:
        return f"<Chain at {self.head.sequence}>"

    def append(self, line: bytes) -> bytes:
        """The line as it goes to the file. `line` is a JSON object without a line break. Raises what the MAC raises."""
        return self._append(line, self.head.sequence + 1)

    def open_file(
        self, time: str, file: str, found: Head, known: Head, torn: bytes = b"", unsure: Head | None = None
    ) -> bytes:
        """The `open` line: the head is then in `file`.

        `found` is the newest line there is, in this file or the one before; `known` the newest that is known to have
        been written; `torn` what stands behind `found` in the same file; `unsure` the newest that may have arrived.
        """
        assert found.sequence <= SEQUENCE_MAX
        opened: dict[str, Any] = {"time": time, "type": "open", "file": file}
        if found.sequence or known.sequence > found.sequence:
            opened["previous"] = {"file": found.file, "sequence": found.sequence, "chain": found.mac.hex()}
        if torn:
            opened["torn"] = {"bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()}
        newest = max(found.sequence, known.sequence)
        if unsure is not None and unsure.sequence > newest:
            opened["unsure"] = {"file": unsure.file, "sequence": unsure.sequence, "chain": unsure.mac.hex()}
            newest = unsure.sequence
        self.head = Head(found.sequence, found.mac, file)
        return self._append(_encode(opened), newest + 1)

    def back_to(self, head: Head) -> None:
        """The lines after `head` do not exist: their bytes never reached the file."""
        self.head = head

    def _append(self, line: bytes, sequence: int) -> bytes:
        body = b"%b%b%d" % (line[:-1], self._tail, sequence)
        mac = self._mac(self.head.mac + body)
        self.head = Head(sequence, mac, self.head.file)
        return b"%b%b%b%b" % (body, _CHAIN, mac.hex().encode(), _END)


def mac_of(line: bytes) -> bytes:
    """The MAC that a line from `append` carries."""
    return bytes.fromhex(line[-len(_END) - _HEX_BYTES : -len(_END)].decode())


def head_of(line: bytes, file: str = "") -> Head:
    """The head that a line from `append` is."""
    body = line[:-_SUFFIX_BYTES]
    return Head(int(body[body.rindex(b":") + 1 :]), mac_of(line), file)


def parse(line: bytes) -> Line | None:
    """The parts of one line with its newline, or None if it is not whole or not of this format."""
    body, suffix = line[:-_SUFFIX_BYTES], line[-_SUFFIX_BYTES:]
    digits = suffix[len(_CHAIN) : -len(_END)]
    if not (body and suffix.startswith(_CHAIN) and suffix.endswith(_END) and _HEX_DIGITS.issuperset(digits)):
        return None
    try:
        told = _decode(body + b"}")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    end = b',"node":%b,"device":%b,"sequence":%d' % (_encode(told.node), _encode(told.device), told.sequence)
    if not body.endswith(end):
        return None
    previous = told.previous
    return Line(
        node=told.node,
        device=told.device,
        sequence=told.sequence,
        mac=bytes.fromhex(digits.decode()),
        body=body,
        type=told.type,
        previous=None if previous is None else previous.head(),
        unsure=None if told.unsure is None else told.unsure.head(),
        torn_bytes=0 if told.torn is None else told.torn.bytes,
        torn_sha256="" if told.torn is None else told.torn.sha256,
    )


def last_line(tail: bytes) -> tuple[Line, bytes] | None:
    """The newest whole line in the end of a file, and what stands behind it; None if no line is whole."""
    end = len(tail)
    while (end := tail.rfind(b"\n", 0, end) + 1) > 0:
        start = tail.rfind(b"\n", 0, end - 1) + 1
        line = parse(tail[start:end])
        if line is not None:
            return line, tail[end:]
        end = start
    return None


class _Previous(msgspec.Struct):
    file: str
    sequence: int
    chain: str

    def head(self) -> Head:
        try:
            mac = bytes.fromhex(self.chain)
        except ValueError:
            mac = b""
        return Head(self.sequence, mac, self.file)


class _Torn(msgspec.Struct):
    bytes: int
    sha256: str


class _Told(msgspec.Struct):
    """What the chain reads of a line; the rest is for people."""

    node: str
    device: str
    sequence: int
    type: str = ""
    previous: _Previous | None = None
    unsure: _Previous | None = None
    torn: _Torn | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Told).decode
