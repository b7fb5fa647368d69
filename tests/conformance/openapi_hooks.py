"""What schemathesis is told of this API: what exists, and which 5xx is no mistake. Loaded by it, in its environment.

The first request of an operation and every second one is about something that openapi_check.py has made, since a name
made up at random is nearly always 404; a DELETE of a thing never is, or soon nothing would be left. Every answer is
noted, so that the check knows what was seen.
"""

from __future__ import annotations

import atexit
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import schemathesis

KNOWN: dict[str, dict[str, str]] = json.loads(os.environ["STRONGROOM_KNOWN"])
"""Path of the document, or "" for all → name of a part of the path → what exists."""
SEEN = Path(os.environ["STRONGROOM_SEEN"])
REFUSED_WITH_500 = {"GET /transit/backup/{name}", "POST /transit/restore", "POST /transit/restore/{name}"}
"""Clients expect of Vault that these are refused so (docs/api.md, "Transit")."""
_seen: set[tuple[str, int]] = set()
_turns: Counter[str] = Counter()


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """The names of what exists, in every second request."""
    path, given = case.operation.path, case.path_parameters
    known = KNOWN[""] | KNOWN.get(path, {})
    if case.method.upper() == "DELETE" and path.endswith("}"):
        case.path_parameters = {name: "gone" if value in known.values() else value for name, value in given.items()}
        return
    _turns[case.operation.label] += 1
    if _turns[case.operation.label] % 2:
        case.path_parameters = {name: known.get(name, value) for name, value in given.items()}


@schemathesis.hook
def after_call(_context: Any, case: Any, response: Any) -> None:
    """Which operation was answered with which status."""
    _seen.add((case.operation.label, response.status_code))


@atexit.register
def _write() -> None:
    SEEN.write_text(json.dumps(sorted(_seen)), encoding="utf-8")


@schemathesis.serializer("application/gzip")
def _as_it_is(_context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.check
def says_when_to_ask_again(_context: Any, response: Any, case: Any) -> None:
    """No 5xx but a 503 with Retry-After; no 429 without it."""
    operation, status = case.operation.label, response.status_code
    if status == 500 and operation in REFUSED_WITH_500:
        return
    told = status in {429, 503} and response.headers.get("retry-after")
    if (status == 429 or status >= 500) and not told:
        raise AssertionError(f"{operation} was answered with {status}")
