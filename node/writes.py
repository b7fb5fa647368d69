"""Write ids in requests: a write that is repeated is executed once.

Pure but for drawing an id for a request without one. Keyed by (token, id). Authorization runs again before a
repetition is answered; the same id with another method, path or body is 409. Only data that is not secret is
remembered: where the first answer held a token or secret, the repetition is 409 and says at which index it applied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster import QUIET, Draft, Table, ValueSealing, View, WriteId, write_ids

from .http.render import errors_body, json_bytes, respond
from .policy import builtin
from .request import WRITES, Answer, RawJson, RawRequest, RawResponse, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from .auth.tokens import TokenView
    from .engines.base import Plan
    from .registry import Routed

ANSWER_BYTES_MAX = 4096
TAKES_NONE = ("sys/seal", "sys/step-down", "sys/unseal", "sys/init", "sys/wrapping/")
NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Repetition:
    """The remembered outcome of the first execution."""

    response: RawResponse


class WriteIds:
    """Looks and remembers. `window_s` bounds how old an id may be."""

    def __init__(self, sealing: Callable[[], ValueSealing], random: Callable[[int], bytes], window_s: int) -> None:
        self._sealing = sealing
        self._random = random
        self._window_ns = window_s * NS
        self._named: tuple[str, bytes, bytes, bytes] | None = None  # request id, token's key, key, fingerprint

    def give(
        self, request: RawRequest, now_ns: int, *, routed: Routed | None = None, early: bool = False
    ) -> None:
        """A write that takes an id and has none gets one (UUID version 7). `early`: no leader is heard yet.

        What a node knows of the cluster's time then may be of long ago, and such an id one that is forgotten already:
        it gets another one when it leaves for a leader.
        """
        if request.write_id_is_early and not early:
            request.write_id = None
        if request.write_id is None and request.operation in WRITES and takes_id(request, routed):
            request.write_id = uuid7(now_ns, self._random(10))
            request.write_id_is_early = early

    def look(
        self, view: View, request: RawRequest, token: TokenView | None, now_ns: int, *, routed: Routed | None = None
    ) -> Repetition | None:
        """None: execute. Raises Refusal for an id that is malformed, too new, reused, or too old to tell."""
        if request.write_id is None or token is None or token.record.num_uses or not takes_id(request, routed):
            return None
        id_time_ns = write_ids.uuid7_time_ns(request.write_id)
        if id_time_ns is None:
            raise Refusal(400, "X-Strongroom-Write-Id must be a UUID of version 7")
        key, fingerprint = self._names(token, request)
        found, known = write_ids.status(view, key, id_time_ns, now_ns=now_ns, window_ns=self._window_ns)
        if found is write_ids.Status.NEW:
            return None
        if found is write_ids.Status.AHEAD:
            raise Refusal(400, "the time of X-Strongroom-Write-Id is more than 60 s ahead of the cluster's")
        if found is write_ids.Status.FORGOTTEN:
            body = errors_body(
                ["the outcome of a write with this id is no longer known"], applied="unknown", write_id=request.write_id
            )
            return Repetition(RawResponse(504, body))
        assert known is not None
        return self._repeat(request, fingerprint, *known)

    def _repeat(self, request: RawRequest, fingerprint: bytes, index: int, known: WriteId) -> Repetition:
        if known.request != fingerprint:
            raise Refusal(409, "this write id belongs to another request")
        if known.answer is None:
            body = errors_body([f"applied at index {index}, answer not kept"], applied="yes", write_id=request.write_id)
            return Repetition(RawResponse(409, body))
        if not known.answer:
            return Repetition(RawResponse(known.status))
        return Repetition(respond(request.id, Answer(status=known.status, data=RawJson(known.answer))))

    def remember(
        self, draft: Draft, request: RawRequest, token: TokenView | None, plan: Plan, now_ns: int,
        *, routed: Routed | None = None,
    ) -> None:  # fmt: skip
        """The outcome stands in the same transaction as what was written."""
        if request.write_id is None or token is None or token.record.num_uses or not takes_id(request, routed):
            return
        id_time_ns = write_ids.uuid7_time_ns(request.write_id)
        if id_time_ns is None:
            return
        answer = plan.answer
        kept: bytes | None = None
        if not plan.secret_answer and answer.auth is None and answer.raw is None:
            kept = b"" if answer.empty else json_bytes(answer.data)
            if len(kept) > ANSWER_BYTES_MAX:
                kept = None
        key, fingerprint = self._names(token, request)
        record = WriteId(
            id_time_ns=id_time_ns,
            applied_ns=now_ns,
            request=fingerprint,
            status=204 if answer.empty else answer.status,
            answer=kept,
        )
        if draft.empty:
            draft.hashes = (QUIET,)
        draft.put(Table.WRITE_ID, key, record)

    def _names(self, token: TokenView, request: RawRequest) -> tuple[bytes, bytes]:
        """Key of the record, and what tells this request from another; remembered between look and remember."""
        named = self._named
        if named is not None and named[0] is request.id and named[1] == token.key:
            return named[2], named[3]
        assert request.write_id is not None
        sealing = self._sealing()
        key = sealing.request_hash(token.key, request.write_id.lower().encode())
        fingerprint = sealing.request_hash(
            request.method.encode(),
            request.path.encode(),
            request.body.raw,
            repr(sorted(request.query.items())).encode() if request.query else b"[]",
        )
        self._named = (request.id, token.key, key, fingerprint)
        return key, fingerprint


def is_id(text: str) -> bool:
    """Whether the text is a write id at all."""
    return write_ids.uuid7_time_ns(text) is not None


def takes_id(request: RawRequest, routed: Routed | None) -> bool:
    """Whether the request takes a write id: logins, wrapping and seal operations do not; nor a token's counted uses.

    `routed`: the mount of its path. A node that does not know it yet may give a login an id, which the leader, who
    does, takes for none.
    """
    if request.wrap_ttl_s is not None or request.path.startswith(TAKES_NONE):
        return False
    return routed is None or not builtin.is_login(routed.mount.type, routed.path)


def uuid7(time_ns: int, random: bytes) -> str:
    """A UUID of version 7 with that time (RFC 9562, 5.7)."""
    milliseconds = (time_ns // 1_000_000) & (1 << 48) - 1
    number = milliseconds << 80 | int.from_bytes(random, "big")
    number = number & ~(0xF << 76) | 0x7 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    digits = f"{number:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
