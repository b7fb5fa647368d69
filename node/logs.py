"""Structured logs on stderr: one JSON object, or one line of text, a record. No record holds a value, token or key.

structlog renders the standard library's records, so libraries and ours look the same.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import orjson
import structlog

from .http.quiet import quiet_libraries


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
        structlog.processors.format_exc_info,
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
