"""A bootstrap file that is not what init wrote opens no member and harms nothing of its folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from cluster.errors import DamagedError
from cluster.files import BOOTSTRAP, KEYRING, read_bootstrap, write_bootstrap
from cluster.journal.ballot import read_ballot
from cluster.journal.ballot_file import BALLOT_NAME
from cluster.keyring.seal import open_envelope
from tests.cluster.test_member import a_member, running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


async def refused(folder: Path, error: type[Exception], match: str | None = None) -> None:
    """A member does not start there."""
    member = a_member(folder)
    with pytest.raises(error, match=match):
        await member.start()
    await member.stop()


async def opens(folder: Path, root_key: bytes) -> bool:
    """A member starts there, and its key opens it."""
    member = a_member(folder)
    await member.start()
    try:
        await member.open_with(open_envelope(bytearray(root_key), member.envelope))
        return not member.sealed
    finally:
        await member.stop()


@pytest.mark.parametrize("field", ["generation", "entry"])
async def test_a_member_does_not_open_with_another_generation_or_entry(tmp_path: Path, field: str) -> None:
    """Else no snapshot would open, and the member would take its own log for lost. It opens when put right."""
    async with running(tmp_path) as (_, root_key):
        pass
    member = a_member(tmp_path)
    true = read_bootstrap(member.disk)
    assert true is not None
    data = bytearray(getattr(true, field))
    data[-1] ^= 1
    await member.start()
    try:
        write_bootstrap(member.disk, msgspec.structs.replace(true, **{field: bytes(data)}))
        with pytest.raises(DamagedError):
            await member.open_with(open_envelope(bytearray(root_key), member.envelope))
        found = read_ballot(member.disk)
        write_bootstrap(member.disk, true)
        await member.open_with(open_envelope(bytearray(root_key), member.envelope))

        assert found is not None
        assert not found[1].recovering
        assert not member.sealed
    finally:
        await member.stop()


@pytest.mark.parametrize("name", [BOOTSTRAP, KEYRING])
@pytest.mark.parametrize("rot", [lambda data: b"", lambda data: data[:5], lambda data: b"x" + data[1:]])
async def test_a_member_does_not_start_with_files_that_no_key_opens(
    tmp_path: Path, name: str, rot: Callable[[bytes], bytes]
) -> None:
    """It would be sealed for ever. It starts when they are put right; an empty folder has none, and starts as well."""
    async with running(tmp_path) as (_, root_key):
        pass
    file = tmp_path / name
    true = file.read_bytes()
    file.write_bytes(rot(true))
    await refused(tmp_path, DamagedError)
    file.write_bytes(true)

    assert await opens(tmp_path, root_key)


@pytest.mark.parametrize("stands_there", ["folder", "link"])
async def test_a_member_does_not_take_what_is_no_file_for_a_ballot_never_written(
    tmp_path: Path, stands_there: str
) -> None:
    """It might have voted. With its ballot back it opens."""
    async with running(tmp_path) as (_, root_key):
        pass
    ballot, kept = tmp_path / BALLOT_NAME, tmp_path / "kept"
    ballot.rename(kept)
    ballot.mkdir() if stands_there == "folder" else ballot.symlink_to(tmp_path / "nowhere")
    await refused(tmp_path, OSError, match=BALLOT_NAME)
    ballot.rmdir() if stands_there == "folder" else ballot.unlink()
    kept.rename(ballot)

    assert await opens(tmp_path, root_key)
