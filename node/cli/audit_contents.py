"""The lines of an audit chain, piece by piece to a node that has the key: which of them were changed?

Shell. Invariants: every line is asked about once, with the head of the line before it; a line that fits no request is
said, and counts as changed, because nobody has proven it.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from .failures import Refused
from .output import remark

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..audit import Head
    from .session import Session

PATH = "strongroom/audit/check"
PIECE_BYTES = 1 << 17  # the node judges a piece in one turn
PIECE_LINES = 1000
LINE_BYTES_MAX = 700_000  # in base64 it is a body of 1 MiB with what stands around it


def changed_lines(session: Session, lines: Iterable[bytes]) -> list[int]:
    """Numbers of the lines that do not have the MAC they carry. Raises Refused if the node does not say."""
    found = []
    for before, piece in pieces(lines):
        if len(piece[0]) > LINE_BYTES_MAX:
            remark("one line is too long to be proven")
            found.append(before.sequence + 1)
            continue
        body = {"before": f"{before.sequence}:{before.mac.hex()}", "lines": base64.b64encode(b"".join(piece)).decode()}
        told = session.call("POST", PATH, body=body).data.get("changed")
        if not isinstance(told, list):
            raise Refused("the server did not say which lines were changed")
        found += told
    return found


def pieces(lines: Iterable[bytes]) -> Iterator[tuple[Head, list[bytes]]]:
    """Whole lines that go in one request, and the head they go on from; a longer line is a piece of its own."""
    from ..audit import Head
    from ..audit.chain import parse

    head, before = Head(), Head()
    piece: list[bytes] = []
    size_bytes = 0
    for raw in lines:
        line = parse(raw)
        if line is None:
            continue
        if piece and (size_bytes + len(raw) > PIECE_BYTES or len(piece) >= PIECE_LINES):
            yield before, piece
            before, piece, size_bytes = head, [], 0
        piece.append(raw)
        size_bytes += len(raw)
        head = Head(line.sequence, line.mac)
    if piece:
        yield before, piece
