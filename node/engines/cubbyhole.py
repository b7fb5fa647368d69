"""Cubbyhole: a store in which every service token has a place of its own, which is gone with it.

Pure. An object is an entry of the mount cubbyhole/ under the hex of its token's keyed hash and the path, sealed as all
entries are. Response wrapping keeps what it wraps in the place of the wrapping token.
Invariants
  C1  no request names the place: it is that of the token that asks; so nobody, root included, reads another's
  C2  whatever makes a token invalid makes its place unreachable at the same index, since no other token has its key;
      what is left is dropped with the token or swept (cluster/state/sweeps.py)
  C3  batch tokens have none, and nobody without a token has
  C4  what a token puts there with its last use is gone with the token, and so not stored
Source: Vault API, "Cubbyhole secrets engine".
"""

from __future__ import annotations

import msgspec

from cluster import Draft, Mount, Table, look

from ..auth.tokens import find_valid
from ..policy import builtin
from ..request import WRITES, Answer, Operation, RawJson, RawRequest, Refusal
from .base import Context, Plan
from .entries import Found, drop, find, names, put
from .fields import check_body, ignored_warnings, parameters
from .json_values import body_fields
from .kv2 import VALUE_BYTES_MAX
from .kv_list import keys_answer

MOUNT_PATH = "cubbyhole/"
RESPONSE = "response"
WRAP_INFO = "wrapinfo"
_DEPRECATED = (
    "Reading from 'cubbyhole/response' is deprecated. Please use sys/wrapping/unwrap to unwrap responses, as it "
    "provides additional security checks and other benefits."
)


class Kept(msgspec.Struct, array_like=True):
    """What is stored under a path: an object as its owner sent it, or the body of an answer that was wrapped.

    New fields go at the end, with a default.
    """

    data: bytes = b""
    response: bytes = b""

    def __repr__(self) -> str:
        return f"<Kept {len(self.data) + len(self.response)} bytes>"


class Cubbyhole:
    """The engine of the mount cubbyhole/."""

    def __init__(self, *, value_bytes_max: int = VALUE_BYTES_MAX) -> None:
        self._value_bytes_max = value_bytes_max

    def is_write(self, operation: Operation, path: str) -> bool:  # noqa: ARG002 - the protocol of all engines
        """Whether the request goes to the leader: every operation that may change something."""
        return operation in WRITES

    def exists(self, context: Context, path: str) -> bool | None:
        """Whether the caller keeps something under the path."""
        return _may_keep(context) and find(context, _name(context, path), Kept) is not None

    def read(self, context: Context, request: RawRequest, path: str) -> Answer:
        """What the caller keeps under the path, or the names below it; 404 without."""
        _check_caller(context)
        match request.operation:
            case Operation.READ:
                answer = _read(context, path)
            case Operation.LIST:
                found = names(context, _name(context, path if not path or path.endswith("/") else f"{path}/"))
                if not found:
                    raise Refusal(404)
                answer = keys_answer(found)
            case _:
                raise _unsupported()
        ignored = ignored_warnings(parameters(request), frozenset()) if request.query else None
        if ignored:
            answer.warnings = [*(answer.warnings or []), *ignored]
        return answer

    def decide(self, context: Context, request: RawRequest, path: str) -> Plan:
        """The plan of a put or a delete; both answer 204."""
        _check_caller(context)
        draft = Draft()
        match request.operation:
            case Operation.CREATE | Operation.UPDATE:
                value = self._value(request, path)
                name = _name(context, path)
                if find_valid(context.view, context.caller.token_key, context.now_ns) is not None:  # C4
                    put(context, draft, name, Kept(data=value), find(context, name, Kept))
            case Operation.DELETE:
                name = _name(context, path)
                found = find(context, name, Kept)
                if found is not None:
                    drop(context, draft, name, found)
            case _:
                raise _unsupported()
        return Plan(Answer(), draft)

    def _value(self, request: RawRequest, path: str) -> bytes:
        if request.path.endswith("/") and path:
            raise Refusal(400, "cannot write to a path ending in '/'")
        if not path:
            raise Refusal(400, "missing path", wrapped=True)
        check_body(request)
        if not body_fields(request.body):
            raise Refusal(400, "missing data fields", wrapped=True)
        value = request.body.raw.strip()
        if len(value) > self._value_bytes_max:
            raise Refusal(413, f"the secret is larger than {self._value_bytes_max} bytes")
        return value


# ---- for whoever keeps something for a token: response wrapping
def place(context: Context) -> Context | None:
    """The context as that of the mount cubbyhole/; None: there is none."""
    found = look(context.view, Table.MOUNT, Mount, MOUNT_PATH.encode())
    return None if found is None else context.at(MOUNT_PATH, found[1])


def kept_by(context: Context, token_key: bytes, path: str) -> Found[Kept] | None:
    """What the token with this key keeps under the path."""
    where = place(context)
    return None if where is None else find(where, entry_name(token_key, path), Kept)


def keep(context: Context, draft: Draft, token_key: bytes, path: str, kept: Kept) -> None:
    """The draft stores it for a token that the draft makes. Raises Refusal where there is no cubbyhole."""
    where = place(context)
    if where is None:
        raise Refusal(400, "there is no cubbyhole to keep the response in")
    put(where, draft, entry_name(token_key, path), kept, None)


def entry_name(token_key: bytes, path: str) -> str:
    """Name of the entry; cluster/state/sweeps.py knows the folder."""
    return f"{token_key.hex()}/{path}"


def _read(context: Context, path: str) -> Answer:
    found = find(context, _name(context, path), Kept) if path else None
    if found is None:
        raise Refusal(404)
    kept = found.value
    if not kept.response:
        return Answer(data=RawJson(kept.data))
    is_wrapping = context.caller.policies == (builtin.RESPONSE_WRAPPING,)
    return Answer(data={RESPONSE: kept.response.decode()}, warnings=[_DEPRECATED] if is_wrapping else None)


def _may_keep(context: Context) -> bool:
    return context.caller.token_key is not None and context.caller.type == "service"


def _check_caller(context: Context) -> None:
    if not _may_keep(context):
        raise Refusal(400, "cubbyhole operations are only supported by 'service' type tokens")


def _name(context: Context, path: str) -> str:
    assert context.caller.token_key is not None  # _may_keep comes before
    return entry_name(context.caller.token_key, path)


def _unsupported() -> Refusal:
    return Refusal(405, "unsupported operation", wrapped=True)


__all__ = ["Cubbyhole", "Kept", "entry_name", "keep", "kept_by", "place"]
