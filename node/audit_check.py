"""`strongroom/audit/check`: does each line of a piece of an audit chain have the MAC it carries?

A shell: only a node has the chain key. It says which numbers are wrong and never what would be right, so nobody makes a
line with its help. Needs `update` on its path like anything else, and is audited. Any node judges the lines of all, as
the key is the cluster's.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
from typing import TYPE_CHECKING

from .audit import Head, changed
from .engines.system.routes import unsupported_operation
from .request import Answer, RawRequest, RawResponse, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .flow import Flow
    from .local import Handler

PATH = "strongroom/audit/check"
UPDATES = frozenset({"POST", "PUT"})
PIECE_BYTES_MAX = 1 << 17  # a piece is judged in one turn
PIECE_LINES_MAX = 1000
HEAD = re.compile(r"([0-9]{1,19}):([0-9a-f]{64})")


class AuditCheck:
    """The handler for the table of local paths."""

    def __init__(self, flow: Flow, chain_mac: Callable[[bytes], bytes]) -> None:
        self._flow = flow
        self._chain_mac = chain_mac

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Path → its handler."""
        return {PATH: self._check}

    async def _check(self, request: RawRequest) -> RawResponse:
        async def do(asked: RawRequest) -> Answer:
            if asked.method not in UPDATES:
                raise unsupported_operation()
            lines, before = piece_of(asked.body.values)
            return Answer(data={"changed": changed(lines, before, self._chain_mac)})

        return await self._flow.judged(request, do)


def piece_of(values: Mapping[str, object]) -> tuple[list[bytes], Head]:
    """The lines, and the head they go on from. Raises Refusal with 400, and 413 for more than is judged in one turn.

    A line is as long as its record: one that is longer than a piece may come alone.
    """
    before, lines = values.get("before"), values.get("lines")
    found = HEAD.fullmatch(before) if isinstance(before, str) else None
    if found is None:
        raise Refusal(400, "before must be the head that the lines go on from, as SEQUENCE:HEX")
    try:
        raw = base64.b64decode(lines, validate=True) if isinstance(lines, str) else None
    except (binascii.Error, ValueError):
        raw = None
    if raw is None:
        raise Refusal(400, "lines must be whole lines of an audit file in base64")
    is_alone = raw.find(b"\n", 0, -1) < 0
    if (len(raw) > PIECE_BYTES_MAX and not is_alone) or raw.count(b"\n") > PIECE_LINES_MAX:
        text = f"a piece has at most {PIECE_BYTES_MAX} bytes and {PIECE_LINES_MAX} lines; a longer line comes alone"
        raise Refusal(413, text)
    return io.BytesIO(raw).readlines(), Head(int(found[1]), bytes.fromhex(found[2]))
