"""One row of a database beside one object: which columns, in which order, and a row made into what a sink shows.

Pure. A database is not believed either: a value of another type than was asked for is an error of the sink, never an
exception of a kind that nobody expects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .base import Generation, SinkError, Stored, stored_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..format import Parsed

COLUMNS = "kind, first_index, last_index, term, time_ns, base, part, final, fresh, size, previous, hash, keyed, id"
"""In the order of Stored."""
_INT, _BYTES = frozenset({0, 1, 2, 3, 4, 6, 7, 8, 9, 12, 13}), frozenset({5, 10, 11})
_FLAGS = (7, 8, 12)


def values_of(parsed: Parsed, size: int) -> tuple[Any, ...]:
    """What goes into the columns, but for the database's own `id`."""
    return tuple(stored_of(parsed, size))[:-1]


def stored_in(row: Iterable[Any]) -> Stored:
    """What a row of these columns says. Raises SinkError."""
    values = list(row)
    sound = (
        len(values) == len(Stored._fields)
        and all(isinstance(values[place], int) and values[place] >= 0 for place in _INT)
        and all(isinstance(values[place], bytes) for place in _BYTES)
    )
    if not sound:
        raise SinkError("a row beside an object is not what was asked for")
    for place in _FLAGS:
        values[place] = bool(values[place])
    return Stored._make([*values[:-1], str(values[-1])])


def number_of(name: str) -> int:
    """The database's own number of an object. Raises SinkError for a name that another sink gave."""
    if not name.isascii() or not name.isdecimal() or len(name) > 18:
        raise SinkError("an object is asked for that another sink has named")
    return int(name)


def generation_in(row: Iterable[Any]) -> Generation:
    """What a row of generation, parent, parent_index, began_ns says. Raises SinkError."""
    values = list(row)
    if [type(value) for value in values] != [bytes, bytes, int, int]:
        raise SinkError("a row of a generation is not what was asked for")
    return Generation(*values)


def claim_in(row: Iterable[Any] | None) -> tuple[int, str] | None:
    """What a row of term, node_id says. Raises SinkError."""
    if row is None:
        return None
    values = list(row)
    if [type(value) for value in values] != [int, str]:
        raise SinkError("a row of a claim is not what was asked for")
    return (values[0], values[1])
