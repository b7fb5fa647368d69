"""Log records of libraries near the wire, reduced to type and place.

Touches the logging module. aiohttp and asyncio put request lines, headers, task reprs and exception texts into their
records; a token sent in a malformed request would be in a log file. Invariant: after `quiet_libraries()` a record of
theirs holds the name of an exception type and where it was raised, nothing else.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

LIBRARIES = (
    "asyncio", "aiohttp", "aiohttp.access", "aiohttp.client", "aiohttp.internal", "aiohttp.server", "aiohttp.web",
    "aiohttp.websocket",
)  # fmt: skip
"""Named one by one: a filter of a logger does not see the records of its children."""


def place(traceback: TracebackType | None) -> str:
    """Module, function and line of the innermost frame; never a value."""
    if traceback is None:
        return "an unknown place"
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    frame = traceback.tb_frame
    module = frame.f_globals.get("__name__", "?")
    return f"{module}.{frame.f_code.co_name}:{traceback.tb_lineno}"


def describe(error: BaseException) -> str:
    """Type and place of an exception, without its text: texts quote what the client sent."""
    return f"{type(error).__name__} at {place(error.__traceback__)}"


class TypeAndPlace(logging.Filter):
    """Rewrites a record in place and lets it pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        """The record says type and place only."""
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        what = describe(error) if error is not None else "a message"
        record.msg = f"{record.name}: {what} (logged at {record.module}.{record.funcName}:{record.lineno})"
        record.args = ()
        record.exc_info = None
        record.exc_text = None
        record.stack_info = None
        return True


_FILTER = TypeAndPlace()


def quiet_libraries() -> None:
    """Each logger of `LIBRARIES` reduces its records. Calling it again changes nothing."""
    for name in LIBRARIES:
        logging.getLogger(name).addFilter(_FILTER)
