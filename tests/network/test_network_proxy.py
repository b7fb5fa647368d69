"""The proxies of a bad network: what each fault does to bytes, and that nothing else does it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from chaos.net.network import Link, Network
from chaos.net.shape import FLIGHT_BYTES_MAX, Shape
from tests.process.machine import HOST, free_port_base

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

ANSWER_S = 20.0
LARGE = bytes(range(256)) * 4096  # 1 MiB


@dataclass
class Pair:
    """A client of host b and the server of host a, with the network between them."""

    network: Network
    port: int
    conversations: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(
        default_factory=asyncio.Queue
    )
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The client's end."""
        reader, writer = await asyncio.open_connection(HOST, self.port)
        self.writers.append(writer)
        return reader, writer

    async def accepted(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The server's end of the oldest connection that nobody has taken."""
        return await asyncio.wait_for(self.conversations.get(), ANSWER_S)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    base = free_port_base(1)
    network = Network()
    made = Pair(network, base)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.writers.append(writer)
        made.conversations.put_nowait((reader, writer))

    server = await asyncio.start_server(accept, HOST, base + 1)
    await network.listen(Link("b", "a", base, base + 1))
    yield made
    network.close()
    server.close()
    for writer in made.writers:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def heard(reader: asyncio.StreamReader, count: int) -> bytes:
    return await asyncio.wait_for(reader.readexactly(count), ANSWER_S)


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Everything until the end, however it ends."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while data := await asyncio.wait_for(reader.read(65536), ANSWER_S):
            received += data
    return received


async def until(check: Callable[[], bool]) -> None:
    """The network has come to do so."""
    async with asyncio.timeout(ANSWER_S):
        while not check():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)


async def arrived(network: Network, count: int) -> None:
    """So many bytes have been carried, or wait."""
    await until(lambda: waiting(network) + network.answer({"do": "counts"})["carried_bytes"] >= count)


def waiting(network: Network) -> int:
    return sum(way.waiting_bytes for passage in network._passages for way in passage.ways)


async def test_bytes_pass_both_ways_in_order_and_an_end_follows_them(pair: Pair) -> None:
    """A mebibyte each way; the client closes, and the server has had everything before it hears so."""
    reader, writer = await pair.dial()
    far_reader, far_writer = await pair.accepted()
    writer.write(LARGE)
    far_writer.write(LARGE[::-1])

    assert await heard(reader, len(LARGE)) == LARGE[::-1]

    writer.close()

    assert await rest(far_reader) == LARGE
    assert pair.network.counts.lost_bytes == 0


async def test_a_delay_is_kept_in_each_direction(pair: Pair) -> None:
    """There and back takes both, and not before."""
    pair.network.shape("b", "a", 0.03, 0.0)
    pair.network.shape("a", "b", 0.05, 0.0)
    reader, writer = await pair.dial()
    far_reader, far_writer = await pair.accepted()
    began_s = time.monotonic()
    writer.write(b"?")
    far_writer.write(await heard(far_reader, 1))
    answer = await heard(reader, 1)

    assert answer == b"?"
    assert time.monotonic() - began_s >= 0.075  # the loop's clock counts milliseconds


def test_a_narrow_line_sends_one_thing_after_the_other() -> None:
    """1,000 bytes a second: the second piece waits for the first, a pause is not saved up."""
    shape = Shape(delay_s=1.0, bytes_per_s=1000.0)

    assert [shape.due_s(10.0, 500), shape.due_s(10.0, 500), shape.due_s(20.0, 1000)] == [11.5, 12.0, 22.0]
    assert Shape(delay_s=1.0).due_s(10.0, 10**9) == 11.0


def test_a_line_holds_little_more_than_is_under_way() -> None:
    """A wide one is bounded, too."""
    assert Shape(delay_s=0.02, bytes_per_s=20e6).flight_bytes_max == 1_400_000
    assert Shape().flight_bytes_max == FLIGHT_BYTES_MAX


async def test_a_sender_feels_a_full_line(pair: Pair) -> None:
    """What waits is bounded while the direction is cut; all of it arrives afterwards."""
    data = LARGE * 32
    _, writer = await pair.dial()
    far_reader, _ = await pair.accepted()
    pair.network.cut("b", "a")
    writer.write(data)
    await arrived(pair.network, FLIGHT_BYTES_MAX)
    most = waiting(pair.network)
    pair.network.heal()

    assert most <= FLIGHT_BYTES_MAX + (1 << 20)  # the last piece may be as large as the loop reads at once
    assert await heard(far_reader, len(data)) == data


async def test_a_cut_holds_one_direction_and_loses_nothing(pair: Pair) -> None:
    """The other direction goes on; what was held arrives when it is healed, and a heal of another direction is none."""
    reader, writer = await pair.dial()
    far_reader, far_writer = await pair.accepted()
    pair.network.cut("b", "a")
    writer.write(b"held")
    await arrived(pair.network, 4)
    far_writer.write(b"goes on")

    assert await heard(reader, 7) == b"goes on"

    pair.network.heal("a", "b")

    assert waiting(pair.network) == 4

    pair.network.heal("b", "a")

    assert await heard(far_reader, 4) == b"held"


async def test_a_reset_loses_what_is_under_way_and_tells_both_ends(pair: Pair) -> None:
    """The next connection is a new one, and works."""
    reader, writer = await pair.dial()
    far_reader, _ = await pair.accepted()
    pair.network.cut("b", "a")
    writer.write(b"lost")
    await arrived(pair.network, 4)
    count = pair.network.reset("a", "b")
    pair.network.heal()

    assert (count, pair.network.counts.resets, pair.network.counts.lost_bytes) == (1, 1, 4)
    assert (await rest(reader), await rest(far_reader)) == (b"", b"")

    _, writer = await pair.dial()
    far_reader, _ = await pair.accepted()
    writer.write(b"new")

    assert await heard(far_reader, 3) == b"new"


@pytest.mark.parametrize("host", ["a", "b"])
async def test_nothing_of_a_host_that_died_is_delivered(pair: Pair, host: str) -> None:
    """Both directions: the host is told at once, the other hears nothing until the host is back, then a reset."""
    reader, writer = await pair.dial()
    far_reader, far_writer = await pair.accepted()
    for direction in (("a", "b"), ("b", "a")):
        pair.network.cut(*direction)
    writer.write(b"lost")
    far_writer.write(b"as well")
    await arrived(pair.network, 11)
    lost_bytes = pair.network.die(host)
    pair.network.heal()
    dead, other, other_writer = (far_reader, reader, writer) if host == "a" else (reader, far_reader, far_writer)
    other_writer.write(b"to nobody")

    assert lost_bytes == 11
    assert await rest(dead) == b""
    assert not other.at_eof()

    pair.network.revive(host)

    assert await rest(other) == b""
    assert pair.conversations.empty()


async def test_a_host_that_is_down_answers_no_dial_until_it_is_back(pair: Pair) -> None:
    """Silence, not a refusal; back, it refuses the old connection and takes a new one."""
    pair.network.die("a")
    reader, writer = await pair.dial()
    writer.write(b"hello?")
    await until(lambda: pair.network.counts.connections == 1)
    pair.network.revive("a")

    assert await rest(reader) == b""
    assert pair.conversations.empty()

    _, writer = await pair.dial()
    far_reader, _ = await pair.accepted()
    writer.write(b"hello")

    assert await heard(far_reader, 5) == b"hello"


async def test_a_host_where_nobody_listens_refuses() -> None:
    """The process is gone, its machine is not."""
    base = free_port_base(1)
    network = Network()
    await network.listen(Link("b", "a", base, base + 1))
    reader, writer = await asyncio.open_connection(HOST, base)

    assert await rest(reader) == b""

    writer.close()
    network.close()


async def test_an_unknown_command_is_an_error() -> None:
    """And changes nothing."""
    with pytest.raises(KeyError):
        Network().answer({"do": "explode"})
