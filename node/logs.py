"""Structured logs on stderr: one JSON object, or one line of text, a record. No record holds a value, token or key.

structlog renders the standard library's records, so libraries and ours look the same.
Invariants
  L1  an exception is its type and the places it passed: its text, and the lines of its traceback, may quote a client
  L2  a record made while a request is at work carries that request's id
"""

from __future__ import annotations

import logging
import sys
import traceback
from contextvars import ContextVar
from typing import Any

import orjson
import structlog

from .http.quiet import quiet_libraries

PLACES_MAX = 20

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Set by whoever begins to answer a request; every task has its own."""


def configure(form: str, level: str, node_id: str) -> None:
    """Every later record goes to stderr in the form, at the level."""

    def add_node(_logger: Any, _name: str, event: dict[str, Any]) -> dict[str, Any]:
        event["node"] = node_id
        return event

    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_node,
        _add_request_id,
        _type_and_places,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer(serializer=lambda event, **_: orjson.dumps(event).decode())
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(getattr(logging, level.upper()))
    quiet_libraries()


def _add_request_id(_logger: Any, _name: str, event: dict[str, Any]) -> dict[str, Any]:
    """L2."""
    known = request_id.get()
    if known:
        event["request_id"] = known
    return event


def _type_and_places(_logger: Any, _name: str, event: dict[str, Any]) -> dict[str, Any]:
    """L1, innermost place first; also of what it was raised from."""
    given = event.pop("exc_info", None)
    error = given[1] if isinstance(given, tuple) else None
    event.pop("stack_info", None)
    if error is not None:
        chain: list[str] = []
        while error is not None and len(chain) < PLACES_MAX:
            chain.append(_described(error))
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        event["exception"] = " from ".join(chain)
    return event


def _described(error: BaseException) -> str:
    places = [
        f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_name}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    return " < ".join([type(error).__name__, *reversed(places[-PLACES_MAX:])])
