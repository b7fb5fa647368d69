"""A migration of the seal among several members: a fact that all follow, and that who was away learns."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cluster import Member, StrongroomError, migrate_seal, read_seal
from cluster.errors import NotLeaderError, UnavailableError
from cluster.files import KEYRING, read_file
from cluster.keyring.envelope import Envelope
from cluster.keyring.seal import open_envelope, rekey, reseal
from cluster.rekeying import Rekeying, SealChangedError
from tests.cluster.members import Members, members, until


def fake(root_key: bytearray, check: bytes, epoch: int) -> bytes:
    """What another vault would give for it, as far as anybody here can tell."""
    return hashlib.sha256(bytes(root_key) + check + bytes([epoch])).digest()


def kept(member: Member) -> tuple[str, int]:
    envelope = read_file(member.disk, KEYRING)
    assert envelope is not None
    seal = read_seal(envelope)[1]
    return seal.type, seal.epoch


async def followed(cluster: Members, seal: tuple[str, int]) -> None:
    await until(lambda: all(kept(member) == seal for member in cluster.up.values()), f"all keep {seal}")


async def test_every_member_follows_and_who_was_away_learns(tmp_path: Path) -> None:
    """There and back; the same root key opens each envelope, and what is written afterwards survives restarts."""
    async with members(tmp_path, "fsync") as cluster:
        leader = await cluster.lead("n1")
        await cluster.stop("n3")
        await cluster.write(5)
        index = await migrate_seal(leader, "transit", fake)
        assert 0 < index <= leader.view.applied_index
        await followed(cluster, ("transit", 2))
        await cluster.write(5)
        await cluster._start("n3", "boot-1")
        away = cluster.up["n3"]
        assert kept(away) == ("shamir", 1)
        await until(lambda: away.links is not None and away.links.standing("n1"), "it is linked")
        await away.keyrings.look_around()
        assert away.seal_config.type == "transit"
        await cluster._open("n3")
        await cluster.leads()
        await followed(cluster, ("transit", 2))
        await migrate_seal(await cluster.leads(), "shamir", None)
        await followed(cluster, ("shamir", 3))
        await cluster.write(5)
        await cluster.stop("n1", "n2", "n3")
        await cluster.start("n1", "n2", "n3")
        await cluster.leads()
        await cluster.whole()


async def test_only_a_leader_migrates_and_not_beside_a_rotation(tmp_path: Path) -> None:
    """A follower proposes nothing; of two at a time one is refused, and both key terms are there afterwards."""
    async with members(tmp_path, "fsync") as cluster:
        leader = await cluster.lead("n1")
        with pytest.raises((NotLeaderError, UnavailableError)):
            await migrate_seal(cluster.up["n2"], "transit", fake)
        in_use = leader.keyrings.in_use
        leader.keyrings.in_use = open_other(leader)
        with pytest.raises(UnavailableError, match="being changed"):
            await migrate_seal(leader, "transit", fake)
        leader.keyrings.in_use = in_use
        await Rekeying(leader).rotate()
        await migrate_seal(leader, "transit", fake)
        await followed(cluster, ("transit", 2))
        assert leader.unsealed is not None
        assert len(leader.unsealed.keyring.term_ids) == 3


async def test_what_cannot_be_wrapped_changes_nothing(tmp_path: Path) -> None:
    """The old seal stays in force, and opens what there is."""

    def fails(_root_key: bytearray, _check: bytes, _epoch: int) -> bytes:
        raise UnavailableError("the other vault is away")

    async with members(tmp_path, "fsync", 1) as cluster:
        leader = await cluster.leads()
        before = leader.view.applied_index
        with pytest.raises(StrongroomError, match="is away"):
            await migrate_seal(leader, "transit", fails)
        assert (kept(leader), leader.view.applied_index - before < 3) == (("shamir", 1), True)
        assert leader.unsealed is not None
        open_envelope(bytearray(leader.unsealed.root_key), leader.envelope).wipe()


def open_other(member: Member) -> bytes:
    """An envelope that is not the applied one."""
    return member.envelope[:-1] + bytes([member.envelope[-1] ^ 1])


async def test_a_rekey_made_before_a_migration_is_not_applied_after_it(tmp_path: Path) -> None:
    """It would bring the former type of seal back, at the same seal epoch; one that is made afterwards is applied."""
    async with members(tmp_path, "fsync", 1) as cluster:
        leader = await cluster.leads()
        assert leader.unsealed is not None
        former = read_seal(leader.envelope)[1]
        made = rekey(leader.unsealed.keyring, former, leader.random, leader.now_ns(), shares=1, threshold=1)
        await migrate_seal(leader, "transit", fake)
        with pytest.raises(SealChangedError, match="begin again"):
            await Rekeying(leader).rekey(made)
        assert kept(leader) == ("transit", 2)
        present = read_seal(leader.envelope)[1]
        made = rekey(
            leader.unsealed.keyring, present, leader.random, leader.now_ns(), shares=1, threshold=1, wrap=fake
        )
        await Rekeying(leader).rekey(made)
        assert kept(leader) == ("transit", 3)


@pytest.mark.parametrize("shown", ["of a later seal", "that nothing opens"])
async def test_only_the_envelope_that_was_opened_is_kept(tmp_path: Path, shown: str) -> None:
    """Not one that a peer showed while another vault was asked: both have the same key check."""
    async with members(tmp_path, "fsync", 1) as cluster:
        await cluster.stop("n1")
        await cluster._start("n1", "boot-1")
        member = cluster.up["n1"]
        old = read_file(member.disk, KEYRING)
        assert old is not None
        unsealed = open_envelope(bytearray(cluster._root_key), old)
        seal = read_seal(old)[1]
        keyring, later = reseal(
            unsealed.root_key, unsealed.keyring, seal, member.random, 1, seal_type="transit", wrap=fake
        )
        keyring.wipe()
        box = Envelope.decode(later).box
        member.keyrings._newer = later if shown == "of a later seal" else later.removesuffix(box) + bytes(len(box))
        await member.open_with(unsealed)
        assert read_file(member.disk, KEYRING) == old == member.keyrings.in_use
        await cluster.leads()
        await cluster.write(2)


async def test_all_may_die_between_the_commit_and_their_files(tmp_path: Path) -> None:
    """The old envelope, which the same shares open, leads to the new one: the entry stands in the log."""
    async with members(tmp_path, "fsync") as cluster:
        await cluster.write(3)
        names = cluster.names
        before = {name: read_file(cluster.up[name].disk, KEYRING) for name in names}
        await migrate_seal(await cluster.leads(), "transit", fake)
        await followed(cluster, ("transit", 2))
        await cluster.kill(*names)
        for name in names:
            (cluster.place(name) / KEYRING).write_bytes(before[name] or b"")
        for name in names:
            await cluster._start(name, "boot-1")
        assert {kept(member) for member in cluster.up.values()} == {("shamir", 1)}
        for name in names:
            await cluster._open(name)
        await cluster.leads()
        await followed(cluster, ("transit", 2))
        await cluster.write(3)
        await cluster.whole()
