"""A bootstrap file that is not what init wrote opens no member and harms nothing of its folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from cluster.errors import DamagedError
from cluster.files import read_bootstrap, write_bootstrap
from cluster.journal.ballot import read_ballot
from cluster.keyring.seal import open_envelope
from tests.cluster.test_member import a_member, running

if TYPE_CHECKING:
    from pathlib import Path


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
