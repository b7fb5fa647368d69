"""Keys that something overtakes: a later rekey, a seal in the middle of one, a file that is still being written."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cluster import rotation, seal_epoch
from cluster.state import records
from cluster.state.tables import Table
from tests.cluster.members import members as running
from tests.cluster.members import until
from tests.cluster.test_keys_followed import desk, in_use_everywhere, new_seal, refuse_writes, terms
from tests.cluster.test_rekeying_rules import first_seal, following, next_seal, record, unsealed_of


async def test_who_missed_a_rekey_and_was_told_of_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The later keyring holds what the missed one brought: nothing is missing, and the node does not seal itself."""
    monkeypatch.setattr(rotation, "KEYS_WAIT_S", 0.05)
    first = first_seal()
    missed = next_seal(first)
    later = next_seal(missed)
    keyrings, member = following(first)
    member.sealed, sealed = False, []
    member.running.sealer, member.running.wake = SimpleNamespace(use=lambda _keyring: None), lambda: None
    member.view = SimpleNamespace(get=lambda *_: None)
    keyrings._seal_itself = sealed.append  # type: ignore[method-assign]

    async def write(_envelope: bytes) -> None:
        return

    keyrings._write = write  # type: ignore[method-assign]
    keyrings._applied(record(missed.envelope))
    assert keyrings._missing == missed.envelope
    [waits] = keyrings._tasks
    keyrings.keep(later.envelope, unsealed_of(later))
    keyrings._applied(record(later.envelope))
    await waits

    assert (keyrings.in_use, keyrings._missing, sealed) == (later.envelope, b"", [])


async def test_who_missed_a_rekey_and_was_told_of_none_seals_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin."""
    monkeypatch.setattr(rotation, "KEYS_WAIT_S", 0.01)
    first = first_seal()
    missed = next_seal(first)
    keyrings, _ = following(first)
    sealed: list[bytes] = []
    keyrings._seal_itself = sealed.append  # type: ignore[method-assign]
    keyrings._applied(record(missed.envelope))
    [waits] = keyrings._tasks
    await waits

    assert sealed == [missed.envelope]


async def test_a_leader_that_is_sealed_behind_the_commit_of_a_rekey_still_says_its_index(tmp_path: Path) -> None:
    """Its caller has new shares to tell, and they are in force: no error says that nothing happened."""
    async with running(tmp_path, "fsync") as cluster:
        leader = await cluster.lead("n1")
        made, never = new_seal(leader), asyncio.Event()

        async def late(_envelope: bytes) -> None:
            await never.wait()

        leader.keyrings._write = late  # type: ignore[method-assign]
        rekeying = asyncio.create_task(desk(leader).rekey(made))
        await until(lambda: leader.keyrings._coming, "the rekey is applied")
        await leader.seal(by_operator=False)
        index = await rekeying

        cluster._root_key = bytes(made.root_key)
        made.wipe()
        others = [cluster.up[name] for name in ("n2", "n3")]
        await until(lambda: [terms(other) for other in others] == [2, 2], "the others use it")
        assert 0 < index <= others[0].view.applied_index


async def test_a_file_is_not_written_beside_one_whose_writer_was_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A seal ends the task, and not its thread: what the next life writes comes after it, and stays."""
    keyrings, member = following(first_seal())
    member.disk = None
    told: list[str] = []
    loop, begun, may = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def write(_disk: Any, _name: str, envelope: bytes) -> None:
        told.append(f"{envelope.decode()} begins")
        loop.call_soon_threadsafe(begun.set)
        may.wait(10)
        told.append(f"{envelope.decode()} ends")

    monkeypatch.setattr("cluster.rotation.files.write_file", write)
    old = asyncio.create_task(keyrings._write(b"old"))
    await begun.wait()
    old.cancel()
    new = asyncio.create_task(keyrings._write(b"new"))
    await asyncio.wait([old])
    for _ in range(5):
        await asyncio.sleep(0)
    await asyncio.to_thread(lambda: None)
    assert told == ["old begins"]
    may.set()
    await new

    assert told == ["old begins", "old ends", "new begins", "new ends"]


@pytest.mark.parametrize("kept", [None, b"", b"\xff", record(b"SRKR")])
def test_the_epoch_of_a_state_without_a_seal_is_none(kept: bytes | None) -> None:
    """A record that is none says nothing; one that is says its epoch."""
    seal = next_seal(first_seal())

    def view(data: bytes | None) -> Any:
        return SimpleNamespace(get=lambda table, _key: None if data is None or table != Table.KEYRING else (1, data))

    assert seal_epoch(view(kept)) == 0
    assert seal_epoch(view(records.encode(records.KeyringRecord(envelope=seal.envelope)))) == 2


async def test_power_lost_everywhere_between_commit_and_files_of_a_rekey(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file has the new envelope, only the logs have: the old keys open the nodes until they have read it there, and
    then the new ones do.
    """
    monkeypatch.setattr(rotation, "KEYS_WAIT_S", 0.3)
    monkeypatch.setattr("cluster.rekeying.USED_S", 0.05)
    names = ("n1", "n2", "n3")
    async with running(tmp_path, "fsync") as cluster:
        leader = await cluster.lead("n1")
        for member in cluster.up.values():
            refuse_writes(member)
        made = new_seal(leader)
        index = await desk(leader).rekey(made)
        await until(lambda: all(one.view.applied_index >= index for one in cluster.up.values()), "all applied it")
        await cluster.kill(*names)
        await cluster.start(*names)
        await until(lambda: all(member.sealed for member in cluster.up.values()), "all ask for the new keys")
        assert {member.seal_config.epoch for member in cluster.up.values()} == {2}
        cluster._root_key = bytes(made.root_key)
        made.wipe()
        for name in names:
            await cluster._open(name)
        await cluster.leads()
        await cluster.write(3)
        await cluster.whole()
        await in_use_everywhere(cluster, 2)
