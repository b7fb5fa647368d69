"""Secret-ids and what tokens keep for themselves, in a restore: void like the tokens they are as good as."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cluster.backup.renew import Wish
from cluster.backup.restore import Point
from cluster.seams import SystemDisk
from cluster.state import records
from cluster.state.tables import Table
from tests.cluster.backup.story import GENERATION, Story
from tests.cluster.backup.test_backup_restoring import opened, restored

if TYPE_CHECKING:
    from pathlib import Path

AUTH, CUBBYHOLE, ENGINE = b"a" * 16, b"c" * 16, b"e" * 16


def entry(text: bytes) -> records.Entry:
    return records.Entry(salt_id=1, box=text, rid=b"rid")


async def told() -> tuple[Story, int]:
    """An auth method, a cubbyhole and an engine with entries of the same names; then some change. (story, point)."""
    story = Story()
    mounts = ((b"auth/app/", AUTH, "approle"), (b"cubbyhole/", CUBBYHOLE, "cubbyhole"), (b"pki/", ENGINE, "pki"))
    for path, uuid, kind in mounts:
        story.put(Table.MOUNT, path, records.Mount(uuid=uuid, type=kind))
        for name in (b"secret-id/uid/stays", b"secret-id/uid/used", b"secret-id/uid/gone", b"role/app"):
            story.put(Table.ENTRY, uuid + name, entry(b"before"))
    point = story.put(Table.ENTRY, AUTH + b"accessor/x", entry(b"before"))
    await story.base()
    for uuid in (AUTH, CUBBYHOLE, ENGINE):
        story.put(Table.ENTRY, uuid + b"secret-id/uid/used", entry(b"after"))
        story.drop(Table.ENTRY, uuid + b"secret-id/uid/gone")
    await story.send()
    return story, point


@pytest.mark.parametrize("old_access", [False, True])
async def test_an_earlier_point_brings_no_secret_id_back(tmp_path: Path, *, old_access: bool) -> None:
    """Nor what a token kept for itself; roles, and what an engine stores under such a name, are there."""
    story, point = await told()
    disk = SystemDisk(tmp_path / "a")
    await restored(
        story, [disk], point=Point(to_index=point), wish=Wish(old_access=old_access), fork=True, generation=GENERATION
    )
    left = {key for key, _, _ in opened(disk, story.shares).items(Table.ENTRY)}

    names = {b"secret-id/uid/stays", b"secret-id/uid/used", b"secret-id/uid/gone", b"role/app"}
    assert left == {AUTH + b"role/app", *(ENGINE + name for name in names)}


async def test_secret_ids_are_kept_with_tokens_as_they_are_now(tmp_path: Path) -> None:
    """A use that was paid later stays paid, and what was destroyed later stays away."""
    story, point = await told()
    disk = SystemDisk(tmp_path / "a")
    await restored(story, [disk], point=Point(to_index=point), wish=Wish(keep_tokens=True))
    state = opened(disk, story.shares)

    for uuid in (AUTH, CUBBYHOLE):
        used = state.get(Table.ENTRY, uuid + b"secret-id/uid/used")
        assert used is not None
        assert records.decode(records.Entry, used[1]).box == b"after"
        assert state.get(Table.ENTRY, uuid + b"secret-id/uid/stays") is not None
        assert state.get(Table.ENTRY, uuid + b"secret-id/uid/gone") is None
    assert state.get(Table.ENTRY, AUTH + b"accessor/x") is not None


async def test_the_newest_state_keeps_secret_ids(tmp_path: Path) -> None:
    """Nothing was revoked behind it."""
    story, _ = await told()
    disk = SystemDisk(tmp_path / "a")
    await restored(story, [disk])

    assert opened(disk, story.shares).get(Table.ENTRY, AUTH + b"secret-id/uid/stays") is not None


async def test_what_is_taken_from_the_end_opens(tmp_path: Path) -> None:
    """It may be sealed with a salt that the point did not know."""
    story = Story()
    story.put(Table.SALT, b"\0\0\0\1", records.Salt(key_term=b"t" * 8, salt=b"s" * 16))
    story.put(Table.MOUNT, b"auth/app/", records.Mount(uuid=AUTH, type="userpass"))
    point = story.put(Table.ENTRY, AUTH + b"user/alice", entry(b"loose"))
    await story.base()
    story.put(Table.SALT, b"\0\0\0\2", records.Salt(key_term=b"t" * 8, salt=b"n" * 16))
    story.put(Table.ENTRY, AUTH + b"user/alice", records.Entry(salt_id=2, box=b"tight", rid=b"rid"))
    await story.send()
    disk = SystemDisk(tmp_path / "a")
    await restored(story, [disk], point=Point(to_index=point))
    state = opened(disk, story.shares)
    found = state.get(Table.ENTRY, AUTH + b"user/alice")

    assert found is not None
    assert records.decode(records.Entry, found[1]).salt_id == 2
    assert state.get(Table.SALT, b"\0\0\0\2") is not None


async def test_kept_tokens_and_leases_are_those_that_were_good_at_the_end(tmp_path: Path) -> None:
    """A record that a sweep has not come to is no access."""
    story = Story()
    story.put(Table.MOUNT, b"auth/app/", records.Mount(uuid=AUTH, type="approle"))
    story.put(Table.LEASE, b"pki/issue/a/1", records.Lease(token=b"t", issued_ns=5, expires_ns=2**60))
    story.put(Table.LEASE, b"pki/issue/b/2", records.Lease(token=b"t", issued_ns=5, expires_ns=2**60))
    story.put(Table.TOKEN, b"plain", records.Token(accessor=b"p", policies=["p"]))
    point = story.put(
        Table.TOKEN, b"login", records.Token(accessor=b"l", policies=["p"], mount=AUTH, mount_path="auth/app/")
    )
    await story.base()
    sweep = records.Sweep(kind="lease", target=b"pki/issue/a/", time_ns=9)
    story.put(Table.SWEEP, b"lease\0pki/issue/a/", sweep)
    story.drop(Table.MOUNT, b"auth/app/")
    await story.send()
    disk = SystemDisk(tmp_path / "a")
    await restored(
        story, [disk], point=Point(to_index=point), wish=Wish(keep_tokens=True, old_access=True),
    )  # fmt: skip
    state = opened(disk, story.shares)

    assert {key for key, _, _ in state.items(Table.TOKEN)} == {b"plain"}
    assert {key for key, _, _ in state.items(Table.LEASE)} == {b"pki/issue/b/2"}


async def test_roles_as_they_were_bring_no_secret_id_along(tmp_path: Path) -> None:
    """One of a role that was removed since would be good again."""
    story, point = await told()
    disk = SystemDisk(tmp_path / "a")
    await restored(
        story, [disk], point=Point(to_index=point), wish=Wish(keep_tokens=True, old_access=True),
    )  # fmt: skip
    left = {key for key, _, _ in opened(disk, story.shares).items(Table.ENTRY) if key.startswith(AUTH)}

    assert left == {AUTH + b"role/app"}
