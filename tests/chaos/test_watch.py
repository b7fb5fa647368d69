"""What nodes say of themselves: who leads, who serves, and that no odd answer ends the watch."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import pytest

from chaos import watch as module
from chaos.api import NoAnswer, Reply
from chaos.folder import Sample
from chaos.watch import FRESH_NS, Watch, kept
from tests.chaos.raw_http import CLOSE, NEVER, RawServer, answer

S = 1_000_000_000


def watch(now_ns: int = 10 * S, urls: dict[str, str] | None = None) -> Watch:
    return Watch(urls or {}, "root", None, io.StringIO(), lambda: now_ns)


def says(node: str, at_ns: int = 10 * S, *, ready: bool = True, **status: Any) -> Sample:
    return Sample(at_ns, node, ready, status or None)


# ---- who leads
@pytest.mark.parametrize(
    ("samples", "leader"),
    [
        ([], None),
        ([says("n1", role="follower", term=3)], None),
        ([says("n1", role="leader", term=3), says("n2", role="follower", term=3)], "n1"),
        ([says("n1", role="leader", term=3), says("n2", role="leader", term=4)], "n2"),
        ([says("n1", role="leader", term=4, at_ns=10 * S - FRESH_NS), says("n2", role="leader", term=3)], "n2"),
        ([says("n1", role="leader", term=4, at_ns=10 * S - FRESH_NS)], None),
        ([says("n1")], None),
        ([says("n1", role="leader", term=None)], "n1"),
        ([says("n1", digest="x")], None),
    ],
)
def test_the_leader_is_of_the_highest_term_that_was_spoken_of_lately(samples: list[Sample], leader: str) -> None:
    """An old one that was cut off, or says nothing any more, is none."""
    seen = watch()
    seen.latest = {one.node: one for one in samples}

    assert seen.leader() == leader


def test_all_are_ready_if_each_was_when_it_was_last_asked() -> None:
    """One that was never asked is not."""
    seen = watch()
    seen.latest = {"n1": says("n1"), "n2": says("n2", ready=False)}

    assert seen.all_ready(["n1"])
    assert not seen.all_ready(["n1", "n2"])
    assert not seen.all_ready(["n1", "n3"])


# ---- what is kept
@pytest.mark.parametrize(
    "reply",
    [
        NoAnswer("TimeoutError", never_sent=False),
        Reply(503, {}, {"errors": ["Vault is sealed"]}),
        Reply(200, {}, None),
        Reply(200, {}, []),
        Reply(200, {}, {"data": None}),
        Reply(200, {}, {"data": [1]}),
        Reply(200, {}, {"data": "x"}),
    ],
)
def test_what_is_no_status_is_none(reply: Reply | NoAnswer) -> None:
    """WA2."""
    assert kept(reply) is None


def test_a_status_is_kept_with_the_clocks_of_others() -> None:
    """Members of another form are left out."""
    data = {"role": "leader", "term": 2, "secret": 1, "members": [{"id": "n2", "clock_skew_ms": 5}, "n3", {"x": 1}]}
    said = kept(Reply(200, {}, {"data": data}))

    assert said is not None
    assert (said["role"], said["term"], said["clock_skew_ms"]) == ("leader", 2, {"n2": 5})
    assert "secret" not in said


# ---- asking
class Lines(io.StringIO):
    """Knows when so many lines are in it."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.full = asyncio.Event()
        self._left = count

    def write(self, text: str) -> int:
        self._left -= 1
        if self._left <= 0:
            self.full.set()
        return super().write(text)


def lines(file: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.getvalue().splitlines()]


async def watched(url: str, samples: int, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """So many samples, or more, of one node."""
    monkeypatch.setattr(module, "PERIOD_S", 0.005)
    monkeypatch.setattr(module, "ANSWER_S", 0.05)
    file = Lines(samples)
    loop = asyncio.get_running_loop()
    seen = Watch({"n1": url}, "root", None, file, lambda: int(loop.time() * 1e9))
    task = asyncio.create_task(seen.run())
    async with asyncio.timeout(10):
        await file.full.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return lines(file)


STATUS = answer(200, b'{"data": {"role": "leader", "term": 3, "members": []}}')


@pytest.mark.parametrize(
    ("ready", "status", "expected"),
    [
        (answer(200), STATUS, (True, True, False, True)),
        (answer(503), STATUS, (False, True, False, True)),
        (answer(503), answer(503, b'{"errors": ["Vault is sealed"]}'), (False, False, True, True)),
        (answer(200), answer(200, b'{"data": {"members": 7}}'), (True, True, False, True)),
        (answer(200), answer(200, b'{"data": [1]}'), (True, False, False, True)),
        (answer(200), answer(200, b"[1]"), (True, False, False, True)),
        (CLOSE, CLOSE, (False, False, False, False)),
        (NEVER, NEVER, (False, False, False, False)),
        (answer(200), NEVER, (True, False, False, True)),
    ],
)
async def test_a_sample_is_what_a_node_said(
    ready: bytes | None, status: bytes | None, expected: tuple[bool, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also nothing, or something odd; and it is asked again."""
    async with RawServer(lambda _, head: ready if "/readyz" in head else status) as server:
        samples = await watched(server.url, 2, monkeypatch)

    assert len(samples) >= 2
    for one in samples[:2]:
        assert (one["ready"], one["status"] is not None, one["sealed"], one["answered"]) == expected


async def test_a_sample_is_as_old_as_what_it_says_of_readiness(monkeypatch: pytest.MonkeyPatch) -> None:
    """WA1: that comes last."""
    async with RawServer(lambda _, head: answer(200) if "/readyz" in head else STATUS) as server:
        await watched(server.url, 1, monkeypatch)

    assert "/v1/strongroom/status" in server.asked[0]
    assert "/readyz" in server.asked[1]
    assert "X-Vault-Token" not in server.asked[1]
