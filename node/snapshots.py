"""Snapshots over the API: the leader saves its state as one file, and puts one back.

A shell over cluster's backup room. Invariants
  N1  what is given out was sealed, and is of a state that was the newest when the request was judged
  N2  one snapshot at a time: each stands on the disk until its client has it
  N3  what is sent is read only once whoever sends it may put it back, and by the leader alone
Source: Vault API, "sys/storage/raft/snapshot"; docs/backup.md, "A snapshot".
"""

from __future__ import annotations

import logging
import weakref
from typing import TYPE_CHECKING

from cluster import NotLeaderError, Saved, SealedError, UnavailableError, save_snapshot

from .engines.system.routes import unsupported_operation
from .put_back.desk import RestoreDesk
from .request import Answer, RawRequest, RawResponse, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from cluster import Member, View

    from .flow import Flow
    from .local import Handler

log = logging.getLogger("strongroom.backup")

SNAPSHOT, FORCE = "sys/storage/raft/snapshot", "sys/storage/raft/snapshot-force"
CONTENT_TYPE = "application/gzip"
UPDATES = frozenset({"POST", "PUT"})


class SnapshotPaths:
    """Handlers for the table of local paths."""

    def __init__(self, member: Member, flow: Flow, types: Collection[str]) -> None:
        """`types` of secrets engines that can be mounted here."""
        self._member = member
        self._flow = flow
        self.restores = RestoreDesk(member, types)
        self._saving = False
        self._saved: Callable[[], Saved | None] = lambda: None

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Path → its handler."""
        return {SNAPSHOT: self._snapshot, FORCE: self._force}

    async def _snapshot(self, request: RawRequest) -> RawResponse:
        if request.method in UPDATES:
            return await self._put_back(request, force=False)
        if request.method != "GET":
            raise unsupported_operation()
        if not await self._is_here(request):
            return await self._flow.elsewhere(request)
        saved: Saved | None = None

        async def do(_request: RawRequest) -> Answer:
            nonlocal saved
            saved = await self._save()
            return Answer(raw=RawResponse(200, b"", [], CONTENT_TYPE, stream=saved))

        response: RawResponse | None = None
        try:
            response = await self._flow.judged(request, do)
        finally:
            if saved is not None and (response is None or response.stream is None):
                saved.close()  # its record could not be written: nobody gets it
        return response

    async def _force(self, request: RawRequest) -> RawResponse:
        if request.method not in UPDATES:
            raise unsupported_operation()
        return await self._put_back(request, force=True)

    async def _put_back(self, request: RawRequest, *, force: bool) -> RawResponse:
        """N3."""
        if not await self._is_here(request):
            return await self._flow.elsewhere(request)

        def check_may(view: View, now_ns: int) -> None:
            pending = self._member.running.overlay_pending
            self._flow.judge.at(view, request, now_ns, pending=pending, local=True)

        async def do(asked: RawRequest) -> Answer:
            return await self.restores.restore(asked, check_may, force=force)

        return await self._flow.judged(request, do)

    async def _is_here(self, request: RawRequest) -> bool:
        """Whether this node leads; the client is sent to the one that does.

        Raises SealedError, UnavailableError, AuditFailedError.
        """
        member = self._member
        if member.sealed:
            raise SealedError
        if member.is_leader:
            return True
        if request.forwarded_from is not None:
            raise NotLeaderError(member.leader_id)
        if member.leader_id in {None, member.settings.node_id}:
            error = UnavailableError("there is no leader now")  # nobody to send it to, and it is never forwarded
            await self._flow.record_failure(request, error)
            raise error
        request.no_forwarding = True  # megabytes do not travel between nodes
        return False

    async def _save(self) -> Saved:
        """N2. Raises Refusal, StrongroomError."""
        held = self._saved()
        if self._saving or (held is not None and not held.closed):
            raise Refusal(503, "another snapshot is on its way to somebody", retry_after_s=5)
        self._saving = True
        try:
            saved = await save_snapshot(self._member)
        except OSError as error:
            log.error("a snapshot could not be made: %s", error.strerror)  # noqa: TRY400 - the text is enough
            raise Refusal(503, "this node's disk does not take a snapshot", retry_after_s=60) from None
        finally:
            self._saving = False
        self._saved = weakref.ref(saved)
        log.info("a snapshot of index %d was made", saved.index)
        return saved


__all__ = ["SnapshotPaths"]
