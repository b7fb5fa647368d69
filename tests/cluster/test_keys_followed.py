"""Rotations and rekeys of a cluster in this process: members follow, whatever they missed, or say why they cannot."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from cluster import NotLeaderError, Rekeying, UnavailableError, rekey, rotation
from cluster.errors import WrongKeyError
from cluster.files import KEYRING, read_file
from cluster.keyring.envelope import read_seal
from cluster.keyring.seal import NewSeal, open_envelope
from tests.cluster.members import Members, until
from tests.cluster.members import members as running

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.members import Watched


def desk(member: Watched) -> Rekeying:
    return member.rekeying or Rekeying(member)


def terms(member: Watched) -> int:
    return len(member.running.sealer.keyring.term_ids)


async def rotated(cluster: Members, count: int = 1) -> None:
    for _ in range(count):
        leader = await cluster.leads()
        await desk(leader).rotate()


async def rekeyed(cluster: Members) -> bytes:
    """The new root key."""
    leader = await cluster.leads()
    made = new_seal(leader)
    await desk(leader).rekey(made)
    root_key = bytes(made.root_key)
    made.wipe()
    return root_key


def new_seal(leader: Watched) -> NewSeal:
    assert leader.unsealed is not None
    return rekey(
        leader.unsealed.keyring, leader.seal_config, leader.random, leader.now_ns(), shares=3, threshold=2
    )


async def in_use_everywhere(cluster: Members, count: int) -> None:
    """All seal with the same newest term, and have its envelope in their files."""
    await until(lambda: {terms(member) for member in cluster.up.values()} == {count}, f"{count} terms everywhere")
    envelopes = {read_file(member.disk, KEYRING) for member in cluster.up.values()}
    assert len(envelopes) == 1
    assert {member.keyrings.in_use for member in cluster.up.values()} == envelopes


def cut_log(leader: Watched) -> None:
    """A snapshot of now, and nothing before it."""
    replica = leader.running
    replica.log_keep_entries = 0
    replica._retake = True
    assert replica.take_snapshot()


def everything_in(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def refuse_writes(member: Watched) -> None:
    """The file `keyring` cannot be written: the power will fail before it is."""

    async def write(_envelope: bytes) -> None:
        raise OSError(28, "no space")

    member.keyrings._write = write  # type: ignore[method-assign]


async def test_rotation_under_load_loses_nothing(tmp_path: Path) -> None:
    """Writers go on through several rotations; all members end with the same terms, files and state."""
    async with running(tmp_path, "fsync") as cluster:
        await asyncio.gather(cluster.write(60), rotated(cluster, 4))
        await cluster.write(5)
        await cluster.whole()
        await in_use_everywhere(cluster, 5)
        assert all(member.links and not member.running.damaged_entries for member in cluster.up.values())


async def test_a_member_that_was_down_during_a_rotation_replays_it(tmp_path: Path) -> None:
    """Its file is older than its log; the same keys open it."""
    async with running(tmp_path, "fsync") as cluster:
        await cluster.lead("n1")
        await cluster.stop("n3")
        await rotated(cluster, 2)
        await cluster.write(5)
        await cluster.start("n3")
        await cluster.whole()
        await in_use_everywhere(cluster, 3)


async def test_a_snapshot_under_a_term_that_the_member_does_not_hold_is_loaded(tmp_path: Path) -> None:
    """The rotation left the log: the envelope comes from a member, and the snapshot is not called damaged."""
    async with running(tmp_path, "fsync") as cluster:
        leader = await cluster.lead("n1")
        await cluster.write(20)
        await cluster.stop("n3")
        await rotated(cluster)
        await cluster.write(10)
        cut_log(leader)
        await until(lambda: leader.running.log.base_index > 25, "the log is cut")
        await cluster.start("n3")
        await cluster.whole()
        await in_use_everywhere(cluster, 2)
        assert cluster.up["n3"].running.installs == 1
        assert not leader.running._retake


async def test_who_restarts_alone_with_a_rotation_brings_up_who_never_had_it(tmp_path: Path) -> None:
    """The leader of the rotation is gone, its entry is not committed yet as far as anybody knows, and behind it stand
    entries under the new term: the one that has it leads all the same, and the other one does not wait for ever.
    """
    async with running(tmp_path, "fsync") as cluster:
        await cluster.lead("n1")
        await cluster.stop("n3")
        await rotated(cluster)
        await cluster.write(3)
        await until(lambda: terms(cluster.up["n2"]) == 2, "n2 follows")
        await cluster.kill("n1")
        await cluster.stop("n2")
        await cluster.start("n2", "n3")
        await cluster.leads("n2")
        await cluster.write(3)
        await cluster.whole()
        await in_use_everywhere(cluster, 2)


async def test_power_lost_between_commit_and_file_of_a_rotation(tmp_path: Path) -> None:
    """Nothing under the new term was acknowledged without the file; the next life replays the rotation."""
    async with running(tmp_path, "fsync") as cluster:
        await cluster.lead("n1")
        victim = cluster.up["n2"]
        refuse_writes(victim)
        await rotated(cluster)
        await cluster.write(5)
        rotation_index = victim.running.log.last_index
        assert terms(victim) == 1
        assert rotation_index < cluster.up["n1"].running.log.last_index
        await cluster.kill("n2")
        await cluster.start("n2")
        await cluster.whole()
        await in_use_everywhere(cluster, 2)


async def test_a_rekey_reaches_every_member_that_is_open(tmp_path: Path) -> None:
    """Afterwards the new root key opens all files and the old one none; it is in no file, sealed or not."""
    async with running(tmp_path, "fsync") as cluster:
        old = cluster._root_key
        await cluster.write(5)
        root_key = await rekeyed(cluster)
        await cluster.write(5)
        await in_use_everywhere(cluster, 2)
        for member in cluster.up.values():
            assert member.seal_config.epoch == 2
            open_envelope(bytearray(root_key), member.envelope).wipe()
            with pytest.raises(WrongKeyError):
                open_envelope(bytearray(old), member.envelope)
        await rotated(cluster)
        await in_use_everywhere(cluster, 3)
        await cluster.whole()
        cluster._root_key = root_key
        await cluster.stop("n2")
        await cluster.start("n2")
        await cluster.whole()
    assert root_key not in everything_in(tmp_path)


async def test_a_member_that_was_down_during_a_rekey_needs_the_new_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened with the old ones it seals itself and says why; it learns the new envelope, and the new key opens it."""
    monkeypatch.setattr(rotation, "KEYS_WAIT_S", 0.3)
    async with running(tmp_path, "fsync") as cluster:
        await cluster.lead("n1")
        await cluster.stop("n3")
        root_key = await rekeyed(cluster)
        await cluster.write(5)
        await cluster.start("n3")
        late = cluster.up["n3"]
        await until(lambda: late.sealed, "n3 seals itself")
        assert late.keyrings.sealed_because == rotation.MISSED
        await until(lambda: late.links and late.links.standing("n1"), "links stand")
        await late.keyrings.look_around()
        with pytest.raises(WrongKeyError):
            open_envelope(bytearray(cluster._root_key), late.envelope)
        cluster._root_key = root_key
        await cluster._open("n3")
        await cluster.whole()
        await in_use_everywhere(cluster, 2)
        assert late.keyrings.sealed_because == ""


async def test_a_sealed_member_learns_of_a_rekey_from_its_peers(tmp_path: Path) -> None:
    """Before any key is given: the envelope of the later epoch is what it is opened with, and doubt takes it back."""
    async with running(tmp_path, "fsync") as cluster:
        await cluster.lead("n1")
        await cluster.stop("n3")
        await rekeyed(cluster)
        await cluster._start("n3", "boot-1")
        late = cluster.up["n3"]
        await until(lambda: late.links and late.links.standing("n1"), "links stand")
        assert late.seal_config.epoch == 1
        await late.keyrings.look_around()
        assert (late.seal_config.epoch, late.seal_config.shares) == (2, 3)
        late.keyrings.doubt()
        assert late.seal_config.epoch == 1


async def test_power_lost_between_commit_and_file_of_a_rekey(tmp_path: Path) -> None:
    """The member held the new root key in memory only; the new keys open it with the envelope of its peers."""
    async with running(tmp_path, "fsync") as cluster:
        await cluster.lead("n1")
        refuse_writes(cluster.up["n2"])
        cluster._root_key = await rekeyed(cluster)
        await cluster.write(5)
        await cluster.kill("n2")
        await cluster._start("n2", "boot-1")
        victim = cluster.up["n2"]
        await until(lambda: victim.links and victim.links.standing("n1"), "links stand")
        assert read_seal(read_file(victim.disk, KEYRING) or b"")[1].epoch == 1
        await victim.keyrings.look_around()
        await cluster._open("n2")
        await cluster.whole()
        await in_use_everywhere(cluster, 2)


async def test_a_rekey_that_reaches_no_majority_changes_nothing(tmp_path: Path) -> None:
    """No entry is proposed that only one member could open; the old keys stay good."""
    async with running(tmp_path, "fsync") as cluster:
        leader = await cluster.lead("n1")
        for name in ("n2", "n3"):
            cluster.up[name].keyrings.offered = _refuse  # type: ignore[method-assign]
        before = leader.running.log.last_index
        made = new_seal(leader)
        with pytest.raises(UnavailableError):
            await desk(leader).rekey(made)
        assert (leader.running.log.last_index, leader.seal_config.epoch) == (before, 1)
        made.wipe()
        await cluster.write(3)
        await cluster.whole()


async def _refuse(*_: Any) -> bytes:
    raise UnavailableError("not now")


async def test_one_member_that_could_not_be_told_is_told_a_little_later(tmp_path: Path) -> None:
    """Its link broke in a bad moment: it goes on without a restart."""
    async with running(tmp_path, "fsync") as cluster:
        await cluster.lead("n1")
        late = cluster.up["n3"]
        offered, calls = late.keyrings.offered, 0

        async def second_time(peer: str, body: bytes) -> bytes:
            nonlocal calls
            calls += 1
            return await (offered(peer, body) if calls > 1 else _refuse())

        late.keyrings.offered = second_time  # type: ignore[method-assign]
        await rekeyed(cluster)
        await cluster.write(3)
        await cluster.whole()
        await in_use_everywhere(cluster, 2)
        assert not late.sealed


async def test_behind_a_slow_file_entries_wait_and_the_link_stays(tmp_path: Path) -> None:
    """What is sealed with the new term is not taken before the file is written; the rest of the cluster goes on."""
    async with running(tmp_path, "fsync") as cluster:
        await cluster.lead("n1")
        slow = cluster.up["n3"]
        write, go_on = slow.keyrings._write, asyncio.Event()

        async def late(envelope: bytes) -> None:
            await go_on.wait()
            await write(envelope)

        slow.keyrings._write = late  # type: ignore[method-assign]
        await rekeyed(cluster)
        await rotated(cluster)
        await cluster.write(3)
        await until(lambda: len(slow.keyrings._coming) == 1, "the rekey is applied")
        behind = slow.running.log.last_index
        assert behind < cluster.up["n1"].running.applied_index
        assert slow.running.leader == "n1"
        go_on.set()
        await cluster.whole()
        await in_use_everywhere(cluster, 3)
        assert slow.running.damaged_entries == 0


async def test_keys_are_changed_by_the_leader_alone_and_one_at_a_time(tmp_path: Path) -> None:
    """Two rotations at once are one, and a refusal that changed nothing."""
    async with running(tmp_path, "fsync") as cluster:
        leader = await cluster.lead("n1")
        with pytest.raises(NotLeaderError):
            await desk(cluster.up["n2"]).rotate()
        done = await asyncio.gather(*(desk(leader).rotate() for _ in range(3)), return_exceptions=True)
        assert [type(one) for one in done if isinstance(one, Exception)] == [UnavailableError] * 2
        await in_use_everywhere(cluster, 2)


async def test_the_root_key_is_given_to_whom_it_was_offered_and_nobody_else(tmp_path: Path) -> None:
    """Outside a rekey nothing is taken, and an offer of who does not lead is not taken up."""
    async with running(tmp_path, "fsync") as cluster:
        leader = await cluster.lead("n1")
        follower = cluster.up["n2"]
        assert follower.links is not None
        desk(leader)
        asked = b"SRHR\x00\x01nonsense"
        refused: list[str] = []
        for method in ("keyring.take", "keyring.offer"):
            with pytest.raises(Exception, match="the peer answered") as error:
                await follower.links.call("n1", method, asked, 5.0)
            refused.append(str(error.value))
        assert refused == ["the peer answered DamagedError", "the peer answered UnavailableError"]
