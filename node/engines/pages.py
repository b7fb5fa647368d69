"""Lists in parts: which part a LIST asks for, and the list of what an engine keeps in a folder.

Pure. Invariants: a part begins behind `after`, whether that is there or not; a limit that is not positive is none; an
empty part is "not found", as an empty list is. Source: OpenBao API, "List pagination"; Vault API, "LIST".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..request import Answer, RawRequest, Refusal
from .entries import names
from .fields import to_int

if TYPE_CHECKING:
    from .base import Context

PAGE = frozenset({"after", "limit"})
"""What a route knows whose list is given in parts."""


class Page(NamedTuple):
    """`limit` 0: everything behind `after`."""

    after: str
    limit: int


def page(request: RawRequest) -> Page:
    """The part that the query asks for. Raises FieldError."""
    return Page(request.query.get("after", ""), max(to_int("limit", request.query.get("limit")), 0))


def listed(context: Context, request: RawRequest, folder: str) -> Answer:
    """The names in the folder that the query asks for. Raises FieldError, and Refusal with 404 where there are none."""
    after, limit = page(request)
    found = names(context, folder, after=after, limit=limit)
    if not found:
        raise Refusal(404)
    return Answer(data={"keys": found})
