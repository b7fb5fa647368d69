"""Security events: init, unseal attempts, hand-outs, seals, listeners, reloads. Written even while the node is sealed.

`<data_dir>/security.log` has one JSON line an event, chained by SHA-256: without keys there is no secret to chain with,
so it proves continuity, not authorship. While unsealed the same event also goes to the audit devices, whose chain is
keyed. Who may reach a sealed node may offer it shares for ever: beyond FILE_BYTES_MAX the file becomes
`security.log.1`, in place of an older one, and the chain goes on in a new file.
Invariant: no detail is a share, a key or a token.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
from typing import TYPE_CHECKING

import orjson

from cluster import StrongroomError

from .status import rfc3339

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from cluster import Clock

log = logging.getLogger("strongroom.security")

NAME = "security.log"
OLDER = ".1"
TAIL_BYTES = 4096
FILE_BYTES_MAX = 16 << 20


class SecurityLog:
    """One node's."""

    def __init__(self, folder: Path, node_id: str, clock: Clock) -> None:
        self._path = folder / NAME
        self._node_id = node_id
        self._clock = clock
        self._sequence, self._chain, self._torn = _tail(self._path)
        if not self._chain:  # nothing whole in it: it was begun behind the older one, if there is one
            self._sequence, self._chain, _ = _tail(self._older)
        self._tasks: set[asyncio.Task[None]] = set()
        self.to_devices: Callable[[str, Mapping[str, str | int | bool]], Awaitable[None]] | None = None

    @property
    def _older(self) -> Path:
        return self._path.with_name(NAME + OLDER)

    def record(self, event: str, **details: str | int | bool) -> None:
        """The event stands in the file, and is on its way to the audit devices. Never raises."""
        line = {
            "time": rfc3339(self._clock.wall_ns()),
            "type": "security",
            "event": event,
            "node": self._node_id,
            "sequence": self._sequence + 1,
            **details,
        }
        body = orjson.dumps(line)
        chain = hashlib.sha256(self._chain.encode() + body).hexdigest()
        text = (b"\n" if self._torn else b"") + body[:-1] + b',"chain":"%b"}\n' % chain.encode()
        try:
            self._make_room()
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                self._torn = os.write(fd, text) < len(text)
            finally:
                os.close(fd)
        except OSError as error:
            log.error("a security event was not written: %s", error.strerror)  # noqa: TRY400 - the reason is all
        else:
            if not self._torn:  # a full disk may take a part of a line, which is none
                self._sequence, self._chain = self._sequence + 1, chain
        log.warning("security: %s", event)
        if self.to_devices is not None:
            task = asyncio.get_running_loop().create_task(self._offer(event, details))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _make_room(self) -> None:
        if self._path.exists() and self._path.stat().st_size >= FILE_BYTES_MAX:
            self._path.replace(self._older)

    async def _offer(self, event: str, details: Mapping[str, str | int | bool]) -> None:
        assert self.to_devices is not None
        with contextlib.suppress(StrongroomError):
            await self.to_devices(event, details)


def _tail(path: Path) -> tuple[int, str, bool]:
    """(sequence, chain) of the last whole line, 0 and "" without one; and whether something else stands last."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - TAIL_BYTES))
            lines = file.read().split(b"\n")
    except OSError:
        return 0, "", False
    torn = lines[-1] != b""
    for text in reversed(lines):
        try:
            last = orjson.loads(text)
            return int(last["sequence"]), str(last["chain"]), torn
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, OverflowError):
            continue
    return 0, "", torn
