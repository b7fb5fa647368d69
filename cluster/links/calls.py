"""Questions between members over the bulk link, and their answers.

Invariants
  K3  a question leaves over a proven link only, unless it is one of UNPROVEN_CALLS; so do the answers
  K4  every question that was heard is answered, with a body or with the name of a failure, never with a message's text
  K5  at most CALLS_MAX questions of ours wait, and at most CALLS_MAX of each peer are served at a time
  K6  nothing is asked of a peer that has fallen silent, and what it was asked before fails: whether it acted is unknown
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from ..errors import StrongroomError, UnavailableError
from .handshake import UNPROVEN_CALLS
from .messages import Call, Reply

if TYPE_CHECKING:
    from .connection import Connection

log = logging.getLogger("strongroom.links")

CALLS_MAX = 4096

CallHandler = Callable[[str, bool, Call, bytes], Awaitable[bytes]]
"""(peer, proven, call, certificate of the peer) → body of the reply; a StrongroomError becomes the reply's error."""


class CallError(StrongroomError):
    """The peer answered a call with a failure; `error` is its type, `detail` what it said."""

    def __init__(self, error: str, detail: bytes) -> None:
        super().__init__(f"the peer answered {error}")
        self.error = error
        self.detail = detail


class NotSentError(UnavailableError):
    """The question never left: nothing happened at the peer."""


class Calls:
    """Both ends of all calls of one node."""

    def __init__(self, handler: CallHandler, spawn: Callable[[Awaitable[None]], None]) -> None:
        self._handler = handler
        self._spawn = spawn
        self._waiting: dict[int, tuple[str, asyncio.Future[Reply]]] = {}
        self._serving: dict[str, int] = {}
        self._id = 0

    # ---- asking
    async def ask(self, connection: Connection | None, method: str, body: bytes, timeout_s: float) -> bytes:
        """The peer's answer. Raises UnavailableError, NotSentError if nothing left, CallError if it refuses."""
        if connection is None or connection.peer is None or len(self._waiting) >= CALLS_MAX:
            raise NotSentError("no link to the peer")
        if not connection.proven and method not in UNPROVEN_CALLS:
            raise NotSentError("the peer has not proven that it holds the keys")
        if connection.silent:
            raise NotSentError("the peer is silent")
        self._id += 1
        call_id = self._id
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[call_id] = (connection.peer, future)
        try:
            if not connection.write(Call(call_id, method, body, int(timeout_s * 1000))):
                raise NotSentError("too much waits for the peer")
            async with asyncio.timeout(timeout_s):
                reply = await future
        except TimeoutError:
            raise UnavailableError("the peer did not answer in time") from None
        finally:
            self._waiting.pop(call_id, None)
        if reply.error:
            raise CallError(reply.error, reply.detail)
        return reply.body

    def lost(self, peer: str, why: str = "the link broke before the answer came") -> None:
        """The peer's link broke, or nothing is heard over it: what waits for its answers fails."""
        for waiting_for, future in list(self._waiting.values()):
            if waiting_for == peer and not future.done():
                future.set_exception(UnavailableError(why))

    # ---- hearing
    def on_message(self, connection: Connection, message: Call | Reply) -> None:
        """A question to us, or an answer to ours."""
        assert connection.peer is not None
        if isinstance(message, Reply):
            peer, future = self._waiting.get(message.id, (None, None))
            if future is not None and peer == connection.peer and not future.done():
                future.set_result(message)
            return
        serving = self._serving.get(connection.peer, 0)
        if not connection.proven and message.method not in UNPROVEN_CALLS:
            connection.write(Reply(message.id, b"", "unproven"))
        elif serving >= CALLS_MAX:
            connection.write(Reply(message.id, b"", "overloaded"))
        else:
            self._serving[connection.peer] = serving + 1
            self._spawn(self._serve(connection, connection.peer, message))

    async def _serve(self, connection: Connection, peer: str, call: Call) -> None:
        try:
            connection.write(await self._answer(connection, peer, call))
        except StrongroomError as error:  # the answer is longer than any message may be
            connection.write(Reply(call.id, b"", type(error).__name__))
        finally:
            self._serving[peer] -= 1

    async def _answer(self, connection: Connection, peer: str, call: Call) -> Reply:
        try:
            return Reply(call.id, await self._handler(peer, connection.proven, call, connection.public_certificate))
        except CallError as error:
            return Reply(call.id, b"", error.error, error.detail)
        except StrongroomError as error:
            return Reply(call.id, b"", type(error).__name__)
        except Exception as error:  # noqa: BLE001 - K4; the peer waits, and a text could quote what it sent
            log.error("a call of %s failed: %s", peer, type(error).__name__)  # noqa: TRY400 - no traceback with values
            return Reply(call.id, b"", "internal")
