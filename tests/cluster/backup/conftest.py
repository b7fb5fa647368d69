"""Fixtures of the backup room: a real PostgreSQL for the session, and a place for each kind of sink.

A place is where a sink keeps its objects. `places` gives a function that makes one more sink on the same place each
time it is called: the contract is kept among several writers. A new kind of sink needs one entry in PLACES.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from cluster.backup.sinks.memory import MemorySink
from cluster.backup.sinks.urls import open_sink
from tests.cluster.backup import s3_server
from tests.cluster.backup.postgres_server import Server, make_roles, running_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from cluster.backup.sinks.base import Sink

    Place = Callable[[], Sink]

_numbers = itertools.count(1)


@pytest.fixture(scope="session", name="session_server")
def _session_server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def postgres(session_server: Server) -> Server:
    """A server that runs; the same for all, started again for whoever comes after a test that left it dead."""
    if not session_server.is_running():
        session_server.start()
    return session_server


@pytest.fixture
async def roles(postgres: Server) -> Server:
    """The server, with a role for each way it lets somebody in over TCP."""
    await make_roles(postgres)
    return postgres


@pytest.fixture
def schema() -> str:
    """A name of a schema that no other test uses."""
    return f"test_{next(_numbers)}"


@pytest.fixture(scope="session")
def s3() -> Iterator[s3_server.Server]:
    """A server that runs; whoever kills it starts it again."""
    with pytest.MonkeyPatch.context() as patch, s3_server.running_server() as server:
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        yield server


@pytest.fixture
def prefix() -> str:
    """A place in the bucket that no other test uses."""
    return f"test/{next(_numbers)}"


def _memory(request: pytest.FixtureRequest) -> Place:
    sink = MemorySink()
    return lambda: sink


def _sqlite(request: pytest.FixtureRequest) -> Place:
    path = request.getfixturevalue("tmp_path") / "backup.db"
    return lambda: open_sink(f"sqlite://{path}")


def _postgres(request: pytest.FixtureRequest) -> Place:
    server, schema = request.getfixturevalue("postgres"), request.getfixturevalue("schema")
    return lambda: open_sink(server.socket_url(schema=schema))


def _s3(request: pytest.FixtureRequest) -> Place:
    server, prefix = request.getfixturevalue("s3"), request.getfixturevalue("prefix")
    return lambda: open_sink(server.url(prefix), password=s3_server.KEYS)


PLACES: dict[str, Callable[[pytest.FixtureRequest], Place]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "postgres": _postgres,
    "s3": _s3,
}


@pytest.fixture(params=sorted(PLACES))
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """Makes sinks on one place that is new; all are closed at the end."""
    make, made = PLACES[request.param](request), []

    def another() -> Sink:
        made.append(make())
        return made[-1]

    yield another
    for sink in made:
        await sink.close()


@pytest.fixture
async def sink(place: Place) -> Sink:
    """One sink, open."""
    made = place()
    await made.open()
    return made
