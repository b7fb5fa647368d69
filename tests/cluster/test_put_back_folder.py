"""An old copy of a member's folder, or of a part of it, is put back: real files, links and writers, one process.

The member finds out from its peers, votes for nobody until its leader has made it whole, and nothing is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.members import members, until

if TYPE_CHECKING:
    from pathlib import Path

EVERYTHING = ("ballot", "journal", "keyring", "bootstrap")
PARTS = {"everything": EVERYTHING, "the log": ("journal",), "the ballot": ("ballot",)}


@pytest.mark.parametrize("what", PARTS)
async def test_a_member_with_an_old_disk_is_recovering_until_it_is_whole(tmp_path: Path, what: str) -> None:
    """It has voted and acknowledged since the copy was made; its twin is the restart before the copy is put back."""
    async with members(tmp_path, "fsync") as cluster:
        await cluster.write(5)
        await cluster.lead("n1")
        await cluster.stop("n3")
        cluster.copy("n3")
        await cluster.start("n3")
        await cluster.write(5)
        await cluster.lead("n2")
        await cluster.whole()
        await cluster.write(5)
        await cluster.known("n3")
        twin = cluster.up["n3"].was_recovering
        await cluster.stop("n3")
        cluster.put_back("n3", PARTS[what])
        await cluster.start("n3")
        await until(lambda: cluster.up["n3"].was_recovering, "it knows that something is missing")
        await cluster.write(5)
        await cluster.whole()

        assert twin is False
        assert cluster.up["n3"].promised == []


async def test_a_member_with_an_old_disk_does_not_elect_a_leader_without_what_it_had(tmp_path: Path) -> None:
    """n3 held writes that n2 never got; put back, it leads nobody with n2, and all is there when n1 comes again."""
    async with members(tmp_path, "fsync") as cluster:
        await cluster.write(5)
        await cluster.lead("n1")
        await cluster.whole()
        await cluster.stop("n3")
        cluster.copy("n3")
        await cluster.start("n3")
        await cluster.whole()
        await cluster.stop("n2")
        await cluster.write(10)
        await cluster.known("n3")
        await cluster.stop("n3")
        cluster.put_back("n3", EVERYTHING)
        cluster.up["n1"].running.send = lambda *_: False  # its hello says what it knows, and nothing more leaves it
        await cluster.start("n3")
        await until(lambda: cluster.up["n3"].running.recovering, "it knows that something is missing")
        await cluster.kill("n1")
        await cluster.start("n2")
        await until(lambda: cluster.up["n2"].running.connected("n3"), "n2 and n3 are linked")
        before = cluster.up["n2"].running.term
        await until(
            lambda: cluster.up["n2"].clock.boot() - cluster.up["n2"].running.contact_s > 2.0, "elections had their time"
        )
        alone = (cluster.leader, cluster.up["n2"].running.term, cluster.up["n3"].promised)
        await cluster.start("n1")
        await cluster.whole()

        assert alone == (None, before, [])


async def test_a_member_that_lost_its_ballot_alone_is_recovering(tmp_path: Path) -> None:
    """Its keyring and entry 1 are there, but what it promised is not."""
    async with members(tmp_path, "memory") as cluster:
        await cluster.write(3)
        await cluster.lead("n1")
        await cluster.stop("n3")
        (cluster.place("n3") / "ballot").unlink()
        await cluster._start("n3", "boot-1")
        member = cluster.up["n3"]
        await until(lambda: member.links is not None and member.links.standing("n1"), "n3 and n1 are linked")
        from cluster import find_cluster

        assert await find_cluster(member) is True
        await cluster._open("n3")
        await until(lambda: member.was_recovering, "it knows that something is missing")
        await cluster.write(3)
        await cluster.whole()

        assert member.promised == []
