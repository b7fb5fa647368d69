"""The paths of keys, as the leader answers them: rotate, rekey, generate-root. Elsewhere they are forwarded to it.

A shell over the desks. Each operation has two families of paths. With a token: judged and audited as every request,
`sys/rotate/…` and `sys/generate-root-token/…`, answered in an envelope. Without one, as old clients expect: bare, and
only where the configuration and the listener allow it. There anybody could cancel what others began, so production
refuses the configuration (node/config/check_network.py).

Invariants
  P1  an open path is served only if `api.unauthenticated_rekey` is on, and not on the locked listener; the leader asks
      its own configuration again
  P2  where it is off, a path answers as if it did not exist, and changes nothing
  P3  what is done is done by a leader: who is deposed while a request is judged and audited keeps nothing of it
  P4  a seal or stop waits, for a while, until what is being done is answered: new shares leave before the keys go
Source: Vault API, "sys/rekey", "sys/generate-root"; OpenBao, "sys/rotate".
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from cluster import Member, NotLeaderError, SealedError

from .engines.system.routes import unsupported_operation, unsupported_path
from .rekey import BARRIER, RECOVERY, RekeyDesk
from .request import Answer, RawRequest, RawResponse, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .flow import Flow
    from .generate_root import RootDesk
    from .rotation import KeyRotation

Handler = Callable[[RawRequest], Awaitable[RawResponse]]
Do = Callable[[dict[str, Any]], Awaitable["dict[str, Any] | None"]]
Verbs = Mapping[str, Do]  # method → what is done; None is 204


class UnderWay:
    """How many requests are under way, each from its being allowed until its answer is audited."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    @contextlib.contextmanager
    def counted(self) -> Iterator[Callable[[], None]]:
        """What is yielded says that the request is allowed; it is over at the end."""
        begun = 0

        def begin() -> None:
            nonlocal begun
            begun = 1
            self._count += 1
            self._none.clear()

        try:
            yield begin
        finally:
            self._count -= begun
            if not self._count:
                self._none.set()

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return self._count > 0

    async def none(self, timeout_s: float) -> None:
        """Returns when there is none, or when the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._none.wait()


class KeyPaths:
    """Their table."""

    def __init__(
        self,
        member: Member,
        flow: Flow,
        rotation: KeyRotation,
        rekey: RekeyDesk,
        root: RootDesk,
        *,
        rekey_is_open: bool,
    ) -> None:
        self._member = member
        self._flow = flow
        self._rotation = rotation
        self._rekey_is_open = rekey_is_open
        self.under_way = UnderWay()
        rekeys = {BARRIER: _rekey_verbs(rekey, BARRIER), RECOVERY: _rekey_verbs(rekey, RECOVERY)}
        generate = _root_verbs(root)
        closed: dict[str, tuple[Verbs, bool]] = {
            "sys/rekey/backup": (rekeys[BARRIER]["backup"], True),
            "sys/rekey/recovery-key-backup": (rekeys[RECOVERY]["backup"], True),
            "sys/generate-root-token/attempt": (generate["attempt"], False),
            "sys/generate-root-token/update": (generate["update"], False),
        }
        for name, kind in (("root", BARRIER), ("recovery", RECOVERY)):
            for step, verbs in rekeys[kind].items():
                closed[f"sys/rotate/{name}/{step}"] = (verbs, step == "backup")
        opened: dict[str, Verbs] = {f"sys/generate-root/{step}": verbs for step, verbs in generate.items()}
        for name, kind in (("rekey", BARRIER), ("rekey-recovery-key", RECOVERY)):
            for step in ("init", "update", "verify"):
                opened[f"sys/{name}/{step}"] = rekeys[kind][step]
        self.handlers: dict[str, Handler] = {
            "sys/rotate": self._rotate,
            "sys/rotate/keyring": self._rotate,
            **{path: partial(self._judged, verbs, inject) for path, (verbs, inject) in closed.items()},
            **{path: partial(self._open, verbs) for path, verbs in opened.items()},
        }

    # ---- the two families
    async def _judged(self, verbs: Verbs, inject: bool, request: RawRequest) -> RawResponse:
        if self._is_elsewhere():
            return await self._flow.elsewhere(request)

        async def do(asked: RawRequest) -> Answer:
            act = verbs.get(asked.method)
            if act is None:
                raise unsupported_operation()
            self._check_leads()
            begin()
            data = await act(_object(asked))
            return Answer() if data is None else Answer(data=data, inject=inject)

        with self.under_way.counted() as begin:
            return await self._flow.judged(request, do)

    async def _open(self, verbs: Verbs, request: RawRequest) -> RawResponse:
        """P1, P2. What is refused is audited, too."""
        is_open = self._rekey_is_open and request.listener == "main"
        if self._is_elsewhere() and is_open:
            return await self._flow.elsewhere(request)

        async def do(asked: RawRequest) -> Answer:
            if not is_open:
                recovery = asked.path.startswith("sys/rekey-recovery-key/")
                raise unsupported_path() if recovery else unsupported_operation()
            act = verbs.get(asked.method)
            if act is None:
                raise Refusal(405)
            self._check_leads()
            begin()
            data = await act(_object(asked))
            return Answer() if data is None else Answer(data=data, bare=True)

        with self.under_way.counted() as begin:
            return await self._flow.unjudged(request, do)

    def _is_elsewhere(self) -> bool:
        """Whether it is the leader's. Raises SealedError."""
        if self._member.sealed:
            raise SealedError
        return not self._member.is_leader

    def _check_leads(self) -> None:
        """P3. Raises NotLeaderError."""
        if not self._member.is_leader:
            raise NotLeaderError(self._member.leader_id)

    # ---- single paths
    async def _rotate(self, request: RawRequest) -> RawResponse:
        if self._is_elsewhere():
            return await self._flow.elsewhere(request)

        async def do(asked: RawRequest) -> Answer:
            if asked.method not in {"POST", "PUT"}:
                raise unsupported_operation()
            self._check_leads()
            begin()
            return await self._rotation.rotate()

        with self.under_way.counted() as begin:
            return await self._flow.judged(request, do)


def _rekey_verbs(desk: RekeyDesk, kind: str) -> dict[str, Verbs]:
    async def status(_body: dict[str, Any]) -> dict[str, Any]:
        return desk.status(kind)

    async def begin(body: dict[str, Any]) -> dict[str, Any]:
        return desk.begin(kind, body)

    async def cancel(_body: dict[str, Any]) -> None:
        desk.cancel(kind)

    async def update(body: dict[str, Any]) -> dict[str, Any]:
        return await desk.update(kind, body)

    async def verify_status(_body: dict[str, Any]) -> dict[str, Any]:
        return desk.verify_status(kind)

    async def verify(body: dict[str, Any]) -> dict[str, Any]:
        return await desk.verify(kind, body)

    async def restart(_body: dict[str, Any]) -> dict[str, Any]:
        return desk.restart_verify(kind)

    async def no_backup(_body: dict[str, Any]) -> dict[str, Any]:
        raise Refusal(400, "no backed-up keys found")  # they would be sealed with PGP keys, which are refused

    async def forget_backup(_body: dict[str, Any]) -> None:
        return None

    return {
        "init": {"GET": status, "POST": begin, "PUT": begin, "DELETE": cancel},
        "update": {"POST": update, "PUT": update},
        "verify": {"GET": verify_status, "POST": verify, "PUT": verify, "DELETE": restart},
        "backup": {"GET": no_backup, "DELETE": forget_backup},
    }


def _root_verbs(desk: RootDesk) -> dict[str, Verbs]:
    async def status(_body: dict[str, Any]) -> dict[str, Any]:
        return desk.status()

    async def begin(body: dict[str, Any]) -> dict[str, Any]:
        return desk.begin(body)

    async def cancel(_body: dict[str, Any]) -> None:
        desk.cancel()

    return {
        "attempt": {"GET": status, "POST": begin, "PUT": begin, "DELETE": cancel},
        "update": {"POST": desk.update, "PUT": desk.update},
    }


def _object(request: RawRequest) -> dict[str, Any]:
    try:
        return request.body.values
    except (msgspec.MsgspecError, AssertionError) as error:
        raise Refusal(400, "failed to decode JSON input: it is not an object") from error


__all__ = ["KeyPaths"]
