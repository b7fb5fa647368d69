"""The journal's modes in members of a cluster: what each end of a process, or of a machine, leaves. One process.

A machine that started again is a member that is given another boot id; what a loss of power leaves of unsynced files is
shown by test_journal_modes.py, over a disk that loses it.
"""

from __future__ import annotations

import errno
import logging
import os
from typing import TYPE_CHECKING

import pytest

from cluster.errors import DamagedError
from cluster.journal.ballot import read_ballot
from cluster.seams import SystemDisk
from tests.cluster.members import Members, members, until

if TYPE_CHECKING:
    from pathlib import Path

ALL = ("n1", "n2", "n3")


def files(cluster: Members, name: str) -> set[str]:
    """Every file below the member's folder."""
    place = cluster.place(name)
    return {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}


async def stays_without_leader(cluster: Members, name: str) -> None:
    """For several election timeouts after it could have stood."""
    member = cluster.up[name]
    begun_s = member.clock.boot()
    await until(lambda: member.clock.boot() - begun_s > 6 * 0.4, "elections had their time")
    assert cluster.leader is None


# ---- buffered
async def test_killed_buffered_members_keep_what_was_answered(tmp_path: Path) -> None:
    """All at once, in one boot; nobody is recovering."""
    async with members(tmp_path, "buffered") as cluster:
        await cluster.write(20)
        await cluster.kill(*ALL)
        marks = [read_ballot(SystemDisk(cluster.place(name))) for name in ALL]
        await cluster.start(*ALL)
        await cluster.whole()

        assert [found is not None and found[1].clean_stop for found in marks] == [False] * 3
        assert [member.was_recovering for member in cluster.up.values()] == [False] * 3


async def test_stopped_buffered_members_keep_everything_over_another_boot(tmp_path: Path) -> None:
    """The mark of the clean stop is there, and gone again once they run."""
    async with members(tmp_path, "buffered") as cluster:
        await cluster.write(20)
        await cluster.stop(*ALL)
        marks = [read_ballot(SystemDisk(cluster.place(name))) for name in ALL]
        await cluster.start(*ALL, boot_id="boot-2")
        running = [read_ballot(SystemDisk(cluster.place(name))) for name in ALL]
        await cluster.whole()

        assert [found is not None and found[1].clean_stop for found in marks] == [True] * 3
        assert [found is not None and (found[1].clean_stop, found[1].boot_id) for found in running] == [
            (False, "boot-2")
        ] * 3
        assert [member.was_recovering for member in cluster.up.values()] == [False] * 3


async def test_a_buffered_member_whose_machine_started_again_is_made_whole(tmp_path: Path) -> None:
    """It votes for nobody meanwhile; its twin is the same member in the same boot."""
    async with members(tmp_path, "buffered") as cluster:
        await cluster.write(20)
        await cluster.lead("n1")
        await cluster.kill("n3")
        await cluster.start("n3")
        await cluster.whole()
        twin = cluster.up["n3"].was_recovering
        await cluster.kill("n3")
        await cluster.start("n3", boot_id="boot-2")
        await cluster.write(5)
        await cluster.whole()

        assert (twin, cluster.up["n3"].was_recovering, cluster.up["n3"].promised) == (False, True, [])


@pytest.mark.parametrize("mode", ["buffered", "memory"])
async def test_a_majority_that_lost_its_memory_leads_nobody_and_says_so(tmp_path: Path, mode: str) -> None:
    """Not even with the one that has everything; nothing is cut meanwhile, and every member names those who lost it."""
    async with members(tmp_path, mode) as cluster:
        await cluster.write(5)
        await cluster.lead("n1")
        await cluster.kill("n2", "n3")
        await until(lambda: not cluster.up["n1"].is_leader, "n1 has no majority behind it")
        await cluster.start("n2", "n3", boot_id="boot-2")
        await until(
            lambda: all(member.recovering_members == ["n2", "n3"] for member in cluster.up.values()), "all hear of it"
        )
        await stays_without_leader(cluster, "n1")

        assert set(cluster.missing()) == set(ALL)
        assert cluster.missing()["n1"] == 0
        assert [cluster.up[name].promised for name in ("n2", "n3")] == [[], []]


async def test_a_failed_write_of_a_buffered_journal_makes_the_next_life_recovering(tmp_path: Path) -> None:
    """The same boot, and the files are there: what was counted may not be. Its twin is a killed member."""
    async with members(tmp_path, "buffered", 1) as cluster:
        await cluster.write(3)
        member = cluster.up["n1"]
        assert member._child is not None
        member._child.write_failed = True
        member._journal_failed("a sync failed")
        cluster.up.pop("n1")
        os.kill(member._child.child_pid, 9)
        await until(lambda: len(member.fatal) == 2, "the writer's death is heard of")
        await member.stop()
        found = read_ballot(SystemDisk(cluster.place("n1")))

        assert found is not None
        assert found[1].recovering is True


@pytest.mark.parametrize(("status", "recovering"), [(5, True), (-9, False), (0, False)])
async def test_a_last_sync_that_fails_at_a_clean_stop_makes_the_next_life_recovering(
    tmp_path: Path, status: int, *, recovering: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one before it does; its twins: a writer that was only killed, and one that ended well."""
    async with members(tmp_path, "buffered", 1) as cluster:
        await cluster.write(3)
        child = cluster.up["n1"]._child
        assert child is not None
        ended = child._wait
        monkeypatch.setattr(child, "_wait", lambda timeout_s: (ended(timeout_s), status)[1])
        await cluster.stop("n1")
        found = read_ballot(SystemDisk(cluster.place("n1")))

        assert found is not None
        assert (found[1].recovering, found[1].clean_stop) == (recovering, status == 0)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), DamagedError("no ballot opens")])
async def test_a_mark_that_no_disk_takes_is_said(
    tmp_path: Path, error: Exception, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the stop goes on."""

    def fails(_disk: object) -> None:
        raise error

    async with members(tmp_path, "buffered", 1) as cluster:
        await cluster.write(3)
        member = cluster.up.pop("n1")
        monkeypatch.setattr("cluster.closing.mark_stopped", fails)
        with caplog.at_level(logging.CRITICAL, "strongroom.member"):
            await member.stop()

        assert (member.unsealed, member.replica) == (None, None)
        assert "could not be marked as stopped" in caplog.text


# ---- memory
async def test_members_in_memory_that_restart_one_after_the_other_lose_nothing(tmp_path: Path) -> None:
    """Each is made whole before the next one goes; none votes meanwhile, and no log is on any disk."""
    async with members(tmp_path, "memory") as cluster:
        await cluster.write(20)
        for name in ALL:
            await cluster.stop(name)
            await cluster.write(2)
            await cluster.start(name)
            await cluster.whole()
            assert cluster.up[name].was_recovering is True
            assert cluster.up[name].promised == []
        await cluster.write(2)
        await cluster.whole()

        for name in ALL:
            assert files(cluster, name) == {"ballot", "keyring", "bootstrap", "profile", "lock"}


async def test_compaction_in_memory_has_a_snapshot_to_stand_on(tmp_path: Path) -> None:
    """A member that lost its memory is sent it; its twin: nothing is cut before it is complete."""
    async with members(tmp_path, "memory") as cluster:
        for member in cluster.up.values():
            member.running.log_entries_max = 20
            member.running.log_keep_entries = 4
        await cluster.write(60)
        await until(lambda: all(m.running.log.base_index > 10 for m in cluster.up.values()), "logs are cut")
        snapshots = [member.running.snapshot_index >= member.running.log.base_index for member in cluster.up.values()]
        await cluster.lead("n1")
        await cluster.kill("n3")
        await cluster.start("n3")
        await cluster.whole()

        assert snapshots == [True] * 3
        assert cluster.up["n3"].running.installs == 1
        assert files(cluster, "n1") == {"ballot", "keyring", "bootstrap", "profile", "lock"}


async def test_a_lone_member_in_memory_never_leads_with_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It was told at the start what the mode costs; after a restart it waits for an operator's word."""
    with caplog.at_level(logging.WARNING, "strongroom.member"):
        async with members(tmp_path, "memory", 1) as cluster:
            await cluster.write(3)
            await cluster.stop("n1")
            await cluster.start("n1")
            await stays_without_leader(cluster, "n1")

            assert cluster.up["n1"].recovering_members == ["n1"]
    assert any("journal.mode is memory" in record.message for record in caplog.records)


# ---- changes, and both at once
@pytest.mark.parametrize("mode", ["buffered", "memory"])
async def test_the_mode_changes_between_starts_one_member_after_the_other(tmp_path: Path, mode: str) -> None:
    """From fsync and back; members of both modes serve each other meanwhile, snapshots included."""
    async with members(tmp_path, "fsync") as cluster:
        for member in cluster.up.values():
            member.running.log_entries_max = 20
            member.running.log_keep_entries = 4
        await cluster.write(60)
        await until(lambda: all(m.running.log.base_index > 10 for m in cluster.up.values()), "logs are cut")
        seen = []
        for wanted in (mode, "fsync"):
            for name in ALL:
                cluster.modes[name] = wanted
                await cluster.stop(name)
                await cluster.write(2)
                await cluster.start(name)
                await cluster.whole()
                seen.append(cluster.up[name].was_recovering)

        assert seen == [False] * 3 + [mode == "memory"] * 3
