"""Sinks named on the command line or in a configuration: opened, and the one that reaches furthest chosen.

A shell. Invariants
  P1  a file that is not there is not made by whoever only wants to read it
  P2  every sink that is named must answer: what one that does not would have shown is not known
Source: docs/backup.md.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from cluster import RestoreError, SinkError, SinkRefusedError, lines, newest, open_sink, survey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from cluster import Run, Sink, Survey

TIMEOUT_S = 30.0


class Place(NamedTuple):
    """One sink as it was named; `name` as the configuration calls it, or empty."""

    url: str
    password: str | None = None
    name: str = ""

    def __repr__(self) -> str:
        return f"<Place {self.name}>"


class Found(NamedTuple):
    """An open sink and what it shows."""

    place: Place
    sink: Sink
    surveys: list[Survey]


def sink_at(place: Place, *, new: bool = False) -> Sink:
    """The sink, not yet open (P1). Raises SinkRefusedError."""
    sink = open_sink(place.url, password=place.password, timeout_s=TIMEOUT_S)
    if not new and is_absent(place):
        raise SinkRefusedError(f"{sink.url}: there is no such file")
    return sink


def is_absent(place: Place) -> bool:
    """A file that nobody made yet. Raises OSError."""
    return place.url.startswith(("sqlite:", "snapshot:")) and not Path(unquote(urlsplit(place.url).path)).exists()


@asynccontextmanager
async def opened(place: Place, *, new: bool = False, reads_only: bool = False) -> AsyncIterator[Sink]:
    """The sink, open inside; `reads_only`: to be looked at. Raises SinkError."""
    sink = sink_at(place, new=new)
    try:
        with _named(sink):
            async with asyncio.timeout(TIMEOUT_S):
                await (sink.look() if reads_only else sink.open())
        yield sink
    finally:
        await sink.close()


@asynccontextmanager
async def all_found(places: Sequence[Place]) -> AsyncIterator[list[Found]]:
    """Every sink with what it shows (P2), to be looked at: whoever writes opens it first. Raises SinkError."""
    sinks = [sink_at(place) for place in places]
    try:
        found = []
        for place, sink in zip(places, sinks, strict=True):
            with _named(sink):
                await sink.look()
                found.append(Found(place, sink, await survey(sink)))
        yield found
    finally:
        for sink in sinks:
            await sink.close()


@contextmanager
def _named(sink: Sink) -> Iterator[None]:
    """Of several sinks, the one that fails is known by its URL, which holds no password. Raises SinkError."""
    try:
        yield
    except SinkError as error:
        text = str(error)
        raise type(error)(text if sink.url in text else f"{sink.url}: {text}") from None


def furthest(found: Sequence[Found], generation: bytes | None, *, unled: bool = False) -> tuple[Found, Survey]:
    """Of the named generation, or of the one that is meant, the sink that reaches furthest. Pure.

    `unled`: see lines.newest. Raises RestoreError.
    """
    if generation is None:
        every = [(survey.generation, survey.runs) for one in found for survey in one.surveys]
        if not every:
            raise RestoreError("no backup is stored there")
        generation = newest(lines(every), unled=unled).id
    usable = [
        (one, survey)
        for one in found
        for survey in one.surveys
        if survey.runs and survey.generation.generation == generation
    ]
    if not usable:
        raise RestoreError("nothing of such a generation can be restored from there")
    return max(usable, key=lambda pair: last_run(pair[1]).last)


def last_run(shown: Survey) -> Run:
    """The run that reaches furthest; there must be one."""
    return max(shown.runs, key=lambda run: (run.last, run.first))
