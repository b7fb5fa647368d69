"""`restore_on_boot`, step by step: which errors are tried again, which are said, and that none keeps a node out."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from cluster import (
    DamagedError,
    FencedError,
    RestoreError,
    SinkError,
    SystemDisk,
    SystemRandom,
    WrongKeyError,
    open_sink,
)
from cluster.backup.sinks.base import Generation
from cluster.backup.witness import Witness, write_witness
from node.config import Backup, Config, Node, Peer, Seal, Sink
from node.config import Member as Named
from node.restore import on_boot
from node.restore.on_boot import ATTEMPTS, EXPECT, WAIT_S_MAX, BootRestore

if TYPE_CHECKING:
    from pathlib import Path

LINE = b"generation-one--"


class Clock:
    """Moved by the test."""

    now_s = 0.0

    def boot(self) -> float:
        return self.now_s

    def wall_ns(self) -> int:
        return 10**18


class Links:
    """Every peer answers with `word`."""

    word = "uninitialised"

    def standing(self, _peer: str) -> bool:
        return True

    async def call(self, _peer: str, kind: str, _body: bytes, _timeout_s: float) -> bytes:
        return msgspec.msgpack.encode((self.word, b"", False)) if kind == "state" else b""


class Site:
    """One node of two, with a sink that is a file; `tried` counts what `fails` was raised for."""

    def __init__(self, folder: Path) -> None:
        self.sink_file = folder / "backup.db"
        self.data = folder / "data"
        self.data.mkdir()
        self.clock = Clock()
        self.links = Links()
        members = tuple(Named(id=f"n{n}", peer=f"127.0.0.1:820{n}", api=f"http://127.0.0.1:920{n}") for n in (1, 2))
        self.config = Config(
            node=Node(id="n1", cluster_name="site", data_dir=str(self.data)),
            peer=Peer(address="127.0.0.1:8201", members=members),
            seal=Seal(type="static", key_file=str(folder / "absent.key")),
            backup=Backup(sinks=(Sink(name="main", url=f"sqlite://{self.sink_file}"),), restore_on_boot="if_empty"),
        )
        settings = SimpleNamespace(node_id="n1", members={"n1": "", "n2": ""}, data_dir=self.data)
        member: Any = SimpleNamespace(
            settings=settings, links=self.links, disk=SystemDisk(self.data), clock=self.clock, random=SystemRandom()
        )
        self.boot = BootRestore(member, self.config, lambda *_words, **_facts: None)
        self.fails: Exception | None = None
        self.tried = 0

    def fail(self) -> None:
        self.tried += 1
        if self.fails is not None:
            raise self.fails

    async def begin(self) -> None:
        """The sink shows a generation."""
        sink = open_sink(f"sqlite://{self.sink_file}")
        await sink.open()
        await sink.begin(Generation(LINE, b"", 0, 1))
        await sink.close()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Site:
    """Joining and restoring do what `fails` says."""
    made = Site(tmp_path)

    class Joins:
        def __init__(self, *_words: Any) -> None:
            pass

        async def run(self, _disks: Any, _members: Any) -> int:
            made.fail()
            return 7

    async def restored(*_words: Any, **_facts: Any) -> dict[str, Any]:
        made.fail()
        return {"index": 7, "time": "", "generation": "", "parent": ""}

    answer = (b"", b"", SimpleNamespace(generation=LINE))
    monkeypatch.setattr(on_boot, "Joining", Joins)
    monkeypatch.setattr(on_boot, "restored", restored)
    monkeypatch.setattr(on_boot, "read_envelope_answer", lambda _data: answer)
    monkeypatch.delenv(EXPECT, raising=False)
    caplog.set_level(logging.INFO, logger="strongroom.backup")
    return made


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# ---- joining
@pytest.mark.parametrize(
    "error",
    [WrongKeyError("no key"), DamagedError("no object"), FencedError("no claim"), PermissionError(13, "denied", "f")],
)
async def test_an_error_keeps_no_node_out(site: Site, caplog: pytest.LogCaptureFixture, error: Exception) -> None:
    """It is said once, and the other members bring the node up."""
    await site.begin()
    site.links.word, site.fails = "ready", error

    assert not await site.boot.step()
    assert not await site.boot.step()
    assert site.tried == 1
    [sentence] = warnings_in(caplog)
    assert (str(error) if not isinstance(error, OSError) else "f cannot be used: denied") in sentence


async def test_a_cluster_that_has_served_brings_the_node_up(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """That is no fault, so nobody is warned."""
    await site.begin()
    site.links.word, site.fails = "ready", RestoreError("served")

    assert not await site.boot.step()
    assert not site.boot.enabled
    assert warnings_in(caplog) == []


@pytest.mark.parametrize("error", [SinkError("away"), TimeoutError()])
async def test_a_sink_that_does_not_answer_is_asked_again(site: Site, error: Exception) -> None:
    """A bounded number of times; then the others bring the node up. If it answers in between, the node joins."""
    await site.begin()
    site.links.word, site.fails = "ready", error
    tried = [await site.boot.step() for _ in range(ATTEMPTS)]

    assert tried == [True] * (ATTEMPTS - 1) + [False]
    assert not site.boot.enabled


async def test_a_sink_that_answers_again_is_joined_from(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """What did not answer once is no reason to begin empty."""
    await site.begin()
    site.links.word, site.fails = "ready", TimeoutError()
    assert await site.boot.step()
    site.fails = None

    assert await site.boot.step()
    assert "at index 7" in warnings_in(caplog)[0]


# ---- restoring
@pytest.mark.parametrize("by", ["folder", "environment"])
async def test_an_emptied_sink_is_no_new_cluster(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, by: str
) -> None:
    """A witness knows better, so an operator must act; looking makes no file."""
    if by == "folder":
        write_witness(SystemDisk(site.data), Witness("main", LINE, 9, b"h" * 32))
    else:
        monkeypatch.setenv(EXPECT, f"9:{'ab' * 32}")
    assert await site.boot.step()

    assert not site.boot.enabled
    assert "a witness knows of a backup, and the sinks show none" in warnings_in(caplog)[0]
    assert not site.sink_file.exists()


async def test_without_witness_and_backup_it_is_a_new_cluster(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """No operator is called, and no file is made."""
    assert await site.boot.step()

    assert not site.boot.enabled
    assert warnings_in(caplog) == []
    assert not site.sink_file.exists()


async def test_a_backup_with_a_witness_is_restored(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """The twin of those that are not."""
    await site.begin()
    write_witness(SystemDisk(site.data), Witness("main", LINE, 9, b"h" * 32))
    assert await site.boot.step()

    assert site.tried == 1
    assert "restored to index 7" in warnings_in(caplog)[0]


@pytest.mark.parametrize("error", [SinkError("away"), TimeoutError(), OSError(28, "full", "f")])
async def test_a_restore_that_cannot_be_done_now_is_tried_again(
    site: Site, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """With growing pauses, and in the end an operator is called."""
    await site.begin()
    write_witness(SystemDisk(site.data), Witness("main", LINE, 9, b"h" * 32))
    site.fails = error
    assert await site.boot.step()
    assert await site.boot.step()
    assert site.tried == 1
    while site.boot.enabled:
        site.clock.now_s += WAIT_S_MAX
        assert await site.boot.step()

    assert site.tried == ATTEMPTS
    said = warnings_in(caplog)
    assert len(said) == 2
    assert "trying again" in said[0]
    assert "an operator must restore" in said[1]
