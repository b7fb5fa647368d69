"""The simulated disk: what survives a loss of power, a kill, a failed sync, and where it answers like a real one."""

from __future__ import annotations

import errno
import random
from typing import TYPE_CHECKING

import pytest

from chaos.sim.disk import PAGE_BYTES, SimDisk
from cluster.seams import Disk, NoSpaceError, SystemDisk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SEEDS = range(200)


def content(disk: Disk, name: str) -> bytes:
    file = disk.open(name)
    found = file.read_at(0, file.size())
    file.close()
    return found


def after_power_loss(build: Callable[[SimDisk], None], look: Callable[[SimDisk], object]) -> set[object]:
    """What is seen after a loss of power, over many draws."""
    seen = set()
    for seed in SEEDS:
        disk = SimDisk()
        build(disk)
        disk.power_loss(random.Random(seed))
        seen.add(look(disk))
    return seen


def with_file(disk: SimDisk, data: bytes = b"old") -> None:
    file = disk.open("f", create=True)
    file.write_at(0, [data])
    file.sync()
    disk.sync_folder()


def test_what_was_synced_survives() -> None:
    """Contents and name, whatever is drawn."""
    assert after_power_loss(with_file, lambda disk: content(disk, "f")) == {b"old"}


def test_what_was_not_synced_survives_or_not() -> None:
    """Nothing, everything, or a part."""

    def build(disk: SimDisk) -> None:
        with_file(disk, b"o" * 2 * PAGE_BYTES)
        disk.open("f").write_at(0, [b"n" * 2 * PAGE_BYTES])

    seen = after_power_loss(build, lambda disk: content(disk, "f"))
    old, new = b"o" * PAGE_BYTES, b"n" * PAGE_BYTES

    assert {old + old, old + new, new + old, new + new} <= seen


def test_a_page_may_be_torn_between_sectors() -> None:
    """Its beginning new, its end old, never in the middle of 512 bytes."""

    def build(disk: SimDisk) -> None:
        with_file(disk, b"o" * PAGE_BYTES)
        disk.open("f").write_at(0, [b"n" * PAGE_BYTES])

    new_bytes = after_power_loss(build, lambda disk: content(disk, "f").count(b"n"))

    assert {count % 512 for count in new_bytes if isinstance(count, int)} == {0}
    assert len(new_bytes) > 4


def test_a_later_version_of_a_page_holds_the_earlier_ones() -> None:
    """Two writes to one page: the second alone cannot survive."""

    def build(disk: SimDisk) -> None:
        with_file(disk, b"....")
        disk.open("f").write_at(0, [b"a"])
        disk.open("f").write_at(1, [b"b"])

    assert after_power_loss(build, lambda disk: content(disk, "f")) == {b"....", b"a...", b"ab.."}


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [
        (lambda disk: disk.open("new", create=True), ["f"], ["f", "new"]),
        (lambda disk: disk.rename("f", "g"), ["f"], ["g"]),
        (lambda disk: disk.remove("f"), ["f"], []),
    ],
)
def test_names_survive_for_certain_only_when_their_folder_is_synced(
    change: Callable[[SimDisk], None], before: list[str], after: list[str]
) -> None:
    """Creations, renames and removals; syncing the file is not enough."""

    def unsynced(disk: SimDisk) -> None:
        with_file(disk)
        change(disk)

    def synced(disk: SimDisk) -> None:
        unsynced(disk)
        disk.sync_folder()

    assert after_power_loss(unsynced, lambda disk: tuple(disk.names())) == {tuple(before), tuple(after)}
    assert after_power_loss(synced, lambda disk: tuple(disk.names())) == {tuple(after)}


def test_a_rename_over_a_file_gives_one_or_the_other() -> None:
    """Never neither."""

    def build(disk: SimDisk) -> None:
        with_file(disk)
        file = disk.open("f.new", create=True)
        file.write_at(0, [b"new"])
        file.sync()
        disk.rename("f.new", "f")

    assert after_power_loss(build, lambda disk: content(disk, "f")) == {b"old", b"new"}


def test_a_kill_keeps_the_page_cache_and_closes_files() -> None:
    """What was written is read by the next life, and a power loss may still take it."""
    disk = SimDisk()
    with_file(disk)
    file = disk.open("f")
    file.write_at(0, [b"new"])
    disk.kill()

    assert content(disk, "f") == b"new"
    for call in (file.sync, file.size, file.close, lambda: file.write_at(0, [b"x"]), lambda: file.read_at(0, 1)):
        with pytest.raises(OSError, match="earlier life"):
            call()


def test_after_a_failed_sync_a_later_one_succeeds_and_writes_nothing() -> None:
    """As Linux does: the pages are clean, readable, and gone with the power."""
    disk = SimDisk()
    with_file(disk)
    disk.open("f").write_at(0, [b"new"])
    disk.fail_next_sync()
    with pytest.raises(OSError, match="sync failed") as raised:
        disk.open("f").sync()
    disk.kill()
    disk.open("f").sync()

    assert raised.value.errno == errno.EIO
    assert content(disk, "f") == b"new"
    disk.drop_clean_pages()
    assert content(disk, "f") == b"old"


def test_a_page_written_again_after_a_failed_sync_is_written_whole() -> None:
    """The twin: touching it makes it dirty, and the next sync brings all of it to the platter."""
    disk = SimDisk()
    with_file(disk, b"old!")
    disk.open("f").write_at(0, [b"new"])
    disk.fail_next_sync()
    with pytest.raises(OSError, match="sync failed"):
        disk.open("f").sync()
    disk.open("f").write_at(3, [b"?"])
    disk.open("f").sync()
    disk.power_loss(random.Random(0))

    assert content(disk, "f") == b"new?"


def test_dirty_pages_are_not_dropped() -> None:
    """Only what the kernel holds for written can be forgotten."""
    disk = SimDisk()
    with_file(disk)
    disk.open("f").write_at(0, [b"new"])
    disk.drop_clean_pages()

    assert content(disk, "f") == b"new"


def test_a_failed_write_changes_nothing() -> None:
    """And the one after it does."""
    disk = SimDisk()
    with_file(disk)
    disk.fail_next_write()
    with pytest.raises(OSError, match="write failed"):
        disk.open("f").write_at(0, [b"new"])

    assert content(disk, "f") == b"old"
    disk.open("f").write_at(0, [b"new"])
    assert content(disk, "f") == b"new"


def test_rot_is_seen_by_every_reader_and_outlives_everything() -> None:
    """In the cache and on the platter."""
    disk = SimDisk()
    with_file(disk, b"abc")
    disk.corrupt("f", 1, 0b11)
    disk.power_loss(random.Random(0))

    assert content(disk, "f") == b"aac"


def test_a_lost_file_is_gone_for_good() -> None:
    """Synced or not."""
    disk = SimDisk()
    with_file(disk)
    disk.open("g", create=True)
    disk.lose("f")
    disk.lose("g")
    disk.power_loss(random.Random(1))

    assert disk.names() == []


def test_space_ends() -> None:
    """In `allocate` as NoSpaceError, in a growing write as ENOSPC, never inside what was allocated."""
    disk = SimDisk(space_bytes=100)
    file = disk.open("f", create=True)
    file.allocate(60)
    file.write_at(0, [bytes(60)])
    with pytest.raises(NoSpaceError):
        disk.open("g", create=True).allocate(41)
    with pytest.raises(OSError, match="no space") as raised:
        file.write_at(50, [bytes(51)])

    assert raised.value.errno == errno.ENOSPC
    assert file.size() == 60
    disk.remove("f")
    disk.open("g").allocate(100)


def test_a_truncated_tail_may_come_back_and_a_synced_truncation_holds() -> None:
    """The size is a change like any other."""

    def truncated(disk: SimDisk) -> None:
        with_file(disk, b"keep-drop")
        disk.open("f").truncate(4)

    def synced(disk: SimDisk) -> None:
        truncated(disk)
        disk.open("f").sync()

    assert after_power_loss(truncated, lambda disk: content(disk, "f")) == {b"keep", b"keep-drop"}
    assert after_power_loss(synced, lambda disk: content(disk, "f")) == {b"keep"}


def test_the_same_seed_gives_the_same_disk() -> None:
    """Determinism, down to the byte."""

    def run(seed: int) -> list[bytes]:
        rng = random.Random(seed)
        disk = SimDisk()
        for at in range(10):
            file = disk.open(f"f{at % 3}", create=True)
            file.write_at(rng.randrange(9000), [rng.randbytes(rng.randrange(9000))])
            if rng.random() < 0.3:
                file.sync()
                disk.sync_folder()
        disk.power_loss(rng)
        return [content(disk, name) for name in disk.names()]

    assert [run(seed) for seed in range(20)] == [run(seed) for seed in range(20)]


def test_a_crash_may_fall_before_any_change() -> None:
    """`on_operation` is asked first, and what it refuses has not happened."""
    disk = SimDisk()
    with_file(disk)
    asked: list[str] = []

    def refuse(operation: str) -> None:
        asked.append(operation)
        raise InterruptedError

    disk.on_operation = refuse
    file = disk.open("f")
    for call in (
        lambda: file.write_at(0, [b"x"]),
        lambda: file.allocate(9),
        lambda: file.truncate(0),
        file.sync,
        lambda: disk.open("new", create=True),
        lambda: disk.rename("f", "g"),
        lambda: disk.remove("f"),
        disk.sync_folder,
    ):
        with pytest.raises(InterruptedError):
            call()

    assert asked == ["write", "allocate", "truncate", "sync", "create", "rename", "remove", "sync_folder"]
    assert (disk.names(), content(disk, "f")) == (["f"], b"old")


def exercise(disk: Disk) -> list[object]:
    """One row of calls with every answer."""
    answers: list[object] = [disk.names("sub")]
    disk.make_folder("sub")
    disk.make_folder("sub")
    file = disk.open("sub/a", create=True)
    answers += [file.write_at(3, [b"ab", bytearray(b"cd"), memoryview(b"ef")]), file.size(), file.read_at(0, 100)]
    file.allocate(12)
    file.allocate(5)
    answers += [file.size(), file.read_at(7, 3), file.read_at(100, 3), file.write_at(2, [])]
    file.truncate(4)
    file.sync()
    answers += [file.read_at(0, 9), file.size()]
    file.close()
    disk.open("b", create=True).close()
    disk.rename("sub/a", "sub/c")
    disk.remove("nothing")
    disk.sync_folder("sub")
    answers += [disk.names(), disk.names("sub"), content(disk, "sub/c")]
    for name in ("sub/a", "missing/x"):
        with pytest.raises(FileNotFoundError):
            disk.open(name)
    with pytest.raises(FileNotFoundError):
        disk.open("missing/x", create=True)
    with pytest.raises(FileNotFoundError):
        disk.rename("sub/a", "sub/z")
    return answers


def test_without_faults_it_answers_like_a_real_folder(tmp_path: Path) -> None:
    """The same calls, the same answers."""
    assert exercise(SimDisk()) == exercise(SystemDisk(tmp_path / "real"))
