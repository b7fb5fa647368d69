"""Taking a snapshot in and putting it back, for whoever may: one at a time, on the leader.

A shell: it reads what is sent into a file, has it put back, and says what became of it. Invariants
  D1  one restore at a time; what one leaves is collected (`held`, node/maintenance.py)
  D2  whatever ends it, the files are gone, and security.log and the audit devices hear of it
  D3  what is refused says why, and what can be done instead, without a word of what is in it
  D4  only a leader says that a snapshot is not to be had: what another node knows of the cluster may be too little, and
      who was deposed while the request was judged or read says that, before anything
Source: Vault API, "sys/storage/raft/snapshot"; docs/decisions/0010-a-snapshot-is-put-back-by-writes.md.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from cluster import (
    Arriving,
    DamagedError,
    ForeignSnapshotError,
    NotLeaderError,
    SealedError,
    TooLargeError,
    UnavailableError,
    UnknownOutcomeError,
)

from ..host_info import PROC, memory
from ..request import Answer, Refusal
from .work import PuttingBack

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from cluster import Arrived, Member, View

    from ..request import RawRequest, Upload
    from .work import Done

    CheckMay = Callable[[View, int], None]

log = logging.getLogger("strongroom.backup")

UPLOAD_BYTES_MAX = 64 << 30
MEMORY_SHARE = 2  # bytes of memory that must be free for each of the snapshot, on this node
KEPT_TYPES = frozenset({"cubbyhole", "identity", "system"})
"""Mounts that are no auth methods, and no secrets that go back."""
HOW = (
    "a cluster begins from a snapshot, with the unseal keys of its time, by `strongroom backup restore -from "
    "snapshot:///PATH`"
)


def no_event(_event: str, **_details: str | int | bool) -> None:
    """Nobody listens."""


class RestoreDesk:
    """One node's."""

    def __init__(self, member: Member, types: Collection[str]) -> None:
        self._member = member
        self._types = types
        self._busy = False
        self.held: set[bytes] = set()
        self.on_event: Any = no_event

    async def restore(self, request: RawRequest, check_may: CheckMay, *, force: bool) -> Answer:
        """What was put back, and what differs and stays. Raises Refusal, StrongroomError (D2, D3)."""
        self._check_leads()
        upload = request.upload
        if upload is None or upload.length == 0:
            raise Refusal(400, "the body must be a snapshot")
        if upload.length is not None and upload.length > UPLOAD_BYTES_MAX:
            raise _too_large()
        if self._busy:
            raise Refusal(400, "another snapshot is being put back")
        self._busy = True
        try:
            done = await self._restored(upload, check_may, force=force)
        except BaseException as error:
            self.on_event("restore", done=False, forced=force, unknown=isinstance(error, UnknownOutcomeError))
            raise
        finally:
            self._busy = False
        self.on_event(
            "restore", done=True, forced=force, snapshot_index=done.at_index, mounts=len(done.mounts),
            mounts_gone=len(done.gone), secrets=done.secrets,
        )  # fmt: skip
        log.warning("a snapshot of index %d was put back", done.at_index)
        return Answer(data=done.data, warnings=done.warnings or None)

    async def _restored(self, upload: Upload, check_may: CheckMay, *, force: bool) -> Done:
        arriving: Arriving | None = None
        try:
            arriving = Arriving(self._member.settings.data_dir, UPLOAD_BYTES_MAX)
            arrived = await _arrived(upload, arriving)
            memory_bytes = await asyncio.to_thread(available_bytes)
            self._check_leads()
            return await self._put_back(arrived, memory_bytes, check_may, force=force)
        except Refusal:
            self._check_leads()
            raise
        except ForeignSnapshotError as error:
            self._check_leads()
            raise Refusal(400, f"{error}; {HOW}") from None
        except DamagedError as error:
            self._check_leads()
            raise Refusal(400, f"nothing was changed: {error}") from None
        except TooLargeError:
            raise _too_large() from None
        except SealedError as error:
            if self._member.sealed:
                raise
            raise UnavailableError("the keys were rotated meanwhile: ask again") from error
        except OSError as error:
            log.error("a snapshot could not be taken in: %s", error.strerror)  # noqa: TRY400 - the text is enough
            raise UnavailableError("this node's disk does not take a snapshot") from None
        finally:
            if arriving is not None:
                arriving.close()

    def _check_leads(self) -> None:
        """D4. Raises NotLeaderError, with which nothing was changed."""
        if not self._member.is_leader:
            raise NotLeaderError(self._member.leader_id)

    async def _put_back(
        self, arrived: Arrived, memory_bytes: int | None, check_may: CheckMay, *, force: bool
    ) -> Done:
        def check(size_bytes: int) -> None:
            if memory_bytes is not None and size_bytes * MEMORY_SHARE > memory_bytes:
                raise UnavailableError("this node has too little memory for what the snapshot holds")

        putting = PuttingBack(
            self._member, self.held, types=self._types, kept=KEPT_TYPES, check_memory=check, check_may=check_may
        )
        return await putting.run(arrived, force=force)


async def _arrived(upload: Upload, arriving: Arriving) -> Arrived:
    async with aclosing(upload.parts()) as parts:  # type: ignore[type-var]
        async for part in parts:
            await arriving.add(part)
    return await arriving.unpack()


def available_bytes() -> int | None:
    """Memory of this machine that is free or can be, None where nothing says so. Reads a file."""
    try:
        found = memory((PROC / "meminfo").read_text())
    except OSError:
        return None
    available = found.get("available")
    return available if isinstance(available, int) else None


def _too_large() -> Refusal:
    return Refusal(413, "the snapshot is larger than one may be")


__all__ = ["RestoreDesk"]
