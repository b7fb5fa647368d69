"""What one direction of a proxied link does to bytes: jitter, its order and its account; and who asks for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from chaos.net.network import Link, Network
from chaos.net.shape import QUEUE_S, Shape
from chaos.targets.base import Shape as Wanted
from chaos.targets.base import TargetError, TargetSettings
from chaos.targets.local import LocalTarget
from chaos.targets.ports import free_ports

if TYPE_CHECKING:
    from pathlib import Path


def dues(shape: Shape, count: int = 200, gap_s: float = 1.0) -> list[float]:
    """How late pieces are that are sent so far apart."""
    return [shape.due_s(at * gap_s, 10) - at * gap_s for at in range(count)]


def test_jitter_is_drawn_within_its_bounds() -> None:
    """Half the pieces come before the delay, half after it, none further off than the jitter."""
    late_s = dues(Shape(delay_s=0.1, jitter_s=0.04))

    assert all(0.06 - 1e-9 <= one <= 0.14 + 1e-9 for one in late_s)
    assert max(late_s) > 0.13
    assert min(late_s) < 0.07
    assert 60 < sum(one < 0.1 for one in late_s) < 140


def test_without_jitter_each_piece_is_as_late_as_the_last() -> None:
    """The twin: nothing is drawn."""
    assert {round(one, 9) for one in dues(Shape(delay_s=0.1))} == {0.1}


def test_a_jitter_longer_than_the_delay_delivers_nothing_before_it_was_sent() -> None:
    """At the soonest at once."""
    late_s = dues(Shape(delay_s=0.01, jitter_s=0.05))

    assert min(late_s) == 0.0
    assert 0.05 < max(late_s) <= 0.06 + 1e-9


def test_jitter_keeps_the_order() -> None:
    """S1: one that is late holds up those behind it."""
    shape = Shape(delay_s=0.05, jitter_s=0.04)
    due = [shape.due_s(at * 0.001, 10) for at in range(300)]

    assert due == sorted(due)
    assert len(set(due)) > 1


def test_jitter_is_repeated_by_its_seed_and_differs_from_direction_to_direction() -> None:
    """Draws of one direction are nobody else's."""
    def of(seed: int, source: str, sink: str) -> list[float]:
        network = Network(seed=seed)
        network.answer({"do": "shape", "source": source, "sink": sink, "delay_s": 0.1, "jitter_s": 0.05,
                        "bytes_per_s": 0.0})  # fmt: skip
        return dues(network._shape(source, sink), 20)

    assert of(1, "a", "b") == of(1, "a", "b")
    assert of(1, "a", "b") != of(1, "b", "a")
    assert of(1, "a", "b") != of(2, "a", "b")


def test_jitter_alone_is_counted_and_goes_with_the_shape() -> None:
    """So that the fault can show its effect; a shape without it has none, whatever was before."""
    network = Network()
    network.shape("a", "b", 0.0, 0.0, jitter_s=0.02)
    line = network._shape("a", "b")
    line.due_s(0.0, 7)
    network.shape("a", "b", 0.0, 0.0)
    after = line.due_s(5.0, 9)

    assert (line.jitter_s, line.late_bytes, after) == (0.0, 7, 5.0)


def test_what_is_under_way_has_room_for_the_jitter() -> None:
    """S2: a line that is sometimes longer holds more."""
    wide = Shape(delay_s=0.1, jitter_s=0.1, bytes_per_s=1e6)

    assert wide.flight_bytes_max == int(1e6 * (0.2 + QUEUE_S))


async def test_a_stream_with_jitter_arrives_whole_and_in_order() -> None:
    """Through sockets: pieces that are sent one by one, each as late as it is drawn."""
    dialled, real = free_ports(2)
    network, arrived = Network(), asyncio.get_running_loop().create_future()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set_result(await reader.read(-1))
        writer.close()

    async with asyncio.timeout(20), await asyncio.start_server(accept, "127.0.0.1", real):
        await network.listen(Link("b", "a", dialled, real))
        network.shape("b", "a", 0.01, 0.0, jitter_s=0.01)
        _, writer = await asyncio.open_connection("127.0.0.1", dialled)
        for at in range(100):
            writer.write(bytes([at]))
            await asyncio.sleep(0)
        writer.close()
        received = await arrived
        network.close()

    assert received == bytes(range(100))
    assert network.answer({"do": "counts"})["late_bytes"] == 100


# ---- the local target
class Asked:
    """A network that notes."""

    def __init__(self) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []

    def ask(self, do: str, **how: Any) -> dict[str, Any]:
        self.said.append((do, how))
        return {}


def test_the_local_target_passes_the_jitter_on(tmp_path: Path) -> None:
    """With everything else that a stream can have."""
    target, network = LocalTarget(tmp_path, TargetSettings()), Asked()
    target._network = network  # type: ignore[assignment]
    target.shape("n1", "n2", Wanted(delay_s=0.1, jitter_s=0.02, bytes_per_s=5.0))

    how = {"source": "n1", "sink": "n2", "delay_s": 0.1, "jitter_s": 0.02, "bytes_per_s": 5.0}
    assert network.said == [("shape", how)]


@pytest.mark.parametrize("what", ["loss", "duplicates", "reordered", "corrupted"])
def test_the_local_target_refuses_what_streams_cannot_have(tmp_path: Path, what: str) -> None:
    """The twin: nothing is left out in silence."""
    target, network = LocalTarget(tmp_path, TargetSettings()), Asked()
    target._network = network  # type: ignore[assignment]

    with pytest.raises(TargetError, match=f"no {what} .* carries streams, not packets"):
        target.shape("n1", "n2", Wanted(delay_s=0.1, **{what: 0.1}))
    assert network.said == []
