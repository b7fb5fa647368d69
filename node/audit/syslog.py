"""Lines of a device sent to the syslog daemon of this machine, each as a message of RFC 5424.

A shell, as socket.py. Invariants: the message is the line, byte for byte, without its line break, so the chain goes on
in what the daemon writes; over TCP a message is preceded by its length (RFC 6587), because a line may be long.
Source: RFC 5424; RFC 6587, 3.4.1; Vault, "Syslog audit device".
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from .socket import SocketSink

if TYPE_CHECKING:
    from .endpoint import Endpoint, Syslog
    from .position import Position

_INFORMATIONAL = 6
_MESSAGE_ID = "audit"
_ABSENT = "-"
_PRINTABLE = re.compile(r"[!-~]{1,255}")
# The time of a line with the six digits of a second that RFC 5424 allows.
_TIME = re.compile(rb'\{"time":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?)\d*Z"')


class SyslogSink(SocketSink):
    """See the module's paragraph."""

    def __init__(self, endpoint: Endpoint, syslog: Syslog, position: Position, node: str) -> None:
        super().__init__(endpoint, position)
        host = node if _PRINTABLE.fullmatch(node) else _ABSENT
        self._is_counted = endpoint.kind == "tcp"
        self._before = f"<{syslog.facility * 8 + _INFORMATIONAL}>1 ".encode()
        self._after = f" {host} {syslog.tag} {os.getpid()} {_MESSAGE_ID} {_ABSENT} ".encode()

    def framed(self, line: bytes) -> bytes:
        """See SocketSink."""
        found = _TIME.match(line)
        time = _ABSENT.encode() if found is None else found[1] + b"Z"
        message = b"%b%b%b%b" % (self._before, time, self._after, line.removesuffix(b"\n"))
        return b"%d %b" % (len(message), message) if self._is_counted else message
