"""Wrapping tokens: made to hold one answer, looked at, and found as what a request is about.

Pure. What such a token holds lies in its cubbyhole, sealed: the body of the answer, and where it is from.
Invariants
  H1  a wrapping token has one use, no parent and no renewal, and ends with its TTL; what it holds goes with it, in the
      same transaction, or by the sweep of what expired
  H2  nobody but this file makes one: its policy cannot be assigned; so whatever has it alone, is one
  H3  a request about a wrapping token is refused without a valid one, before anybody is asked who they are: it may be
      the token that asks
Source: Vault concepts, "Response Wrapping"; Vault API, "sys/wrapping/*"; docs/threat-model.md, single use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from cluster import Token

from ..auth.token_ttl import TTL_S_MAX
from ..auth.tokens import NS, TokenView, find_raw, find_valid, new_raw_token, new_secret, put_token
from ..auth.typed_fields import to_text
from ..policy import builtin
from ..request import Answer, RawRequest, Refusal
from .cubbyhole import RESPONSE, WRAP_INFO, Kept, keep, kept_by
from .fields import FieldError, parameters
from .instants import rfc3339

if TYPE_CHECKING:
    from cluster import Draft, ValueSealing, View

    from .base import Context

NAMING = frozenset({"sys/wrapping/lookup", "sys/wrapping/rewrap", "sys/wrapping/unwrap"})
"""Paths that are about a wrapping token: the one in the request's data, or the one that asks."""

LOOKUP = "sys/wrapping/lookup"
WRAPPED_BYTES_MAX = 1_310_720  # of one body: a transaction holds it, sealed, beside what the request changes
_encode = msgspec.json.Encoder().encode


class Origin(NamedTuple):
    """Where a wrapped answer is from, and how long it is kept; the accessor is that of a token or secret-id in it."""

    creation_path: str
    ttl_s: int
    wrapped_accessor: str = ""
    creation_time: str = ""  # of the wrapping token; known once there is one


def give(context: Context, draft: Draft, path: str, body: bytes, origin: Origin) -> Answer:
    """The draft makes a wrapping token that holds the body; the answer shows the token and nothing else.

    `path` is that of the request that makes the token. Raises Refusal for a body too large to be kept.
    """
    if len(body) > WRAPPED_BYTES_MAX:
        raise Refusal(413, f"a response of more than {WRAPPED_BYTES_MAX} bytes cannot be wrapped")
    ttl_s, creation_time = min(origin.ttl_s, TTL_S_MAX), rfc3339(context.now_ns)
    raw_token = new_raw_token(context.random)
    key = context.sealing.token_hash(raw_token)
    record = Token(
        accessor=new_secret(context.random).encode(),
        policies=[builtin.RESPONSE_WRAPPING],
        created_ns=context.now_ns,
        expires_ns=context.now_ns + ttl_s * NS,
        creation_ttl_s=ttl_s,
        explicit_max_ttl_s=ttl_s,
        num_uses=1,
        renewable=False,
        display_name="",
        path=path,
    )
    put_token(draft, context.sealing, key, record, fresh=True)
    keep(context, draft, key, RESPONSE, Kept(response=body))
    where = {"creation_time": creation_time, "creation_path": origin.creation_path}
    if origin.wrapped_accessor:
        where["wrapped_accessor"] = origin.wrapped_accessor
    keep(context, draft, key, WRAP_INFO, Kept(data=_encode({"creation_ttl": ttl_s, **where})))
    draft.hashes = ()  # entries touch everything
    return Answer(wrap_info={"token": raw_token, "accessor": record.accessor.decode(), "ttl": ttl_s, **where})


# ---- the token a request is about
def named_token(view: View, sealing: ValueSealing, request: RawRequest, now_ns: int) -> TokenView:
    """The wrapping token the request is about. Raises Refusal as Vault does, before anybody is asked who they are."""
    raw_token = _named(request)
    token = find_raw(view, sealing, raw_token, now_ns)
    if token is None and raw_token == request.token:  # it asks itself, and its only use pays for this very request
        token = find_valid(view, sealing.token_hash(raw_token), now_ns, spent=True)
    if token is None or token.record.policies != [builtin.RESPONSE_WRAPPING]:
        raise not_valid()
    return token


def origin_of(context: Context, token: TokenView) -> Origin:
    """Where what the token holds is from. Raises Refusal if it holds nothing."""
    found = kept_by(context, token.key, WRAP_INFO)
    if found is None:
        raise not_valid()
    where = msgspec.json.decode(found.value.data, type=dict[str, Any])
    return Origin(
        where["creation_path"], where["creation_ttl"], where.get("wrapped_accessor", ""), where["creation_time"]
    )


def held_by(context: Context, token: TokenView) -> bytes:
    """The body the token holds; b"" if none."""
    found = kept_by(context, token.key, RESPONSE)
    return b"" if found is None else found.value.response


def not_valid() -> Refusal:
    """400 for what is no wrapping token, or no longer one."""
    return Refusal(400, "wrapping token is not valid or does not exist")


def _named(request: RawRequest) -> str:
    given = parameters(request).get("token")
    if given is None or (not isinstance(given, str) and bytes(given) == b"null"):
        if not request.token:
            raise _unreadable("token is empty")
        return request.token
    try:
        text = to_text("token", given)
    except FieldError:
        raise _unreadable("could not decode token in request body") from None
    if not text:
        raise _unreadable("empty token in request body")
    return text


def _unreadable(why: str) -> Refusal:
    return Refusal(403, f"error validating wrapping token: {why}")
