"""Revoking: one small fact makes a token and everything below it unreachable at once; sweeps remove the rest later.

Pure. Invariants
  R1  no descendant of a revoked token is valid, however many there are, from the same index on
  R2  a revocation fits into one transaction, however large the tree and its records are
  R3  what a revoked token kept for itself goes with it, at once or by a sweep; a token of another key never sees it
  R4  a batch token, of which nothing is stored, is not revoked alone: it ends with its parent, by itself, or with all
      that were made before a fact says so
Source: Vault API, "Token auth method" (revoke, revoke-orphan).
"""

from __future__ import annotations

from cluster import BATCH_TOKENS_VOID, Draft, Fact, Table, Token, View, index_of, records, sweeps

from ..engines.base import Context, Plan
from ..engines.fields import parameters
from ..engines.system.routes import Captures, permission_denied
from ..request import Answer, RawRequest, Refusal
from .batch_tokens import BATCH
from .tokens import ORPHANER, TokenView, find_by_accessor, find_raw, find_valid
from .typed_fields import to_text

# Children re-parented in one transaction; more are cut off by what stays of the parent.
ORPHANS_MAX = 900
ORPHANS_BYTES_MAX = 1_000_000

FIELDS_TOKEN = frozenset({"token"})
FIELDS_ACCESSOR = frozenset({"accessor"})


def revoke_token(view: View, draft: Draft, token: TokenView) -> None:
    """The draft drops the token and its accessor; with children it also asks for the sweep of its tree."""
    _drop_token(view, draft, token)
    if any(True for _ in view.token_children(token.key)):
        sweeps.start(view, draft, sweeps.TOKEN_KIND, token.key)


def decide_revoke(context: Context, request: RawRequest, _captures: Captures) -> Plan:
    """revoke: 204 whether or not the token was there."""
    raw_token = _required_token(request)
    return _revoke(context, _stored(find_raw(context.view, context.sealing, raw_token, context.now_ns)))


def decide_revoke_self(context: Context, _request: RawRequest, _captures: Captures) -> Plan:
    """revoke-self: whoever asks is gone, with all descendants."""
    if context.caller.type == BATCH:
        raise _not_revocable()
    return _revoke(context, find_valid(context.view, context.caller.token_key, context.now_ns))


def decide_revoke_batch_tokens(context: Context, _request: RawRequest, _captures: Captures) -> Plan:
    """revoke-batch-tokens (sudo): every batch token that was made until now is void; those made later are good."""
    draft = Draft()
    draft.expect(Table.FACT, BATCH_TOKENS_VOID, index_of(context.view, Table.FACT, BATCH_TOKENS_VOID))
    draft.put(Table.FACT, BATCH_TOKENS_VOID, Fact(time_ns=context.now_ns, text="batch tokens are void"))
    return Plan(Answer(), draft)


def decide_revoke_accessor(context: Context, request: RawRequest, _captures: Captures) -> Plan:
    """revoke-accessor: an unknown accessor is a warning, no error."""
    token = find_by_accessor(context.view, required_accessor(request), context.now_ns)
    if token is None:
        return Plan(Answer(warnings=["No token found with this accessor"]))
    return _revoke(context, token)


def decide_revoke_orphan(context: Context, request: RawRequest, _captures: Captures) -> Plan:
    """revoke-orphan (sudo): the token alone is gone, its children live on as orphans.

    With more children than one transaction holds, the token's record stays as an orphaner: valid for nobody, parent
    of orphans.
    """
    if not (context.caller.is_root or context.caller.has_sudo):
        raise permission_denied()
    raw_token = _required_token(request)
    view = context.view
    token = _stored(find_raw(view, context.sealing, raw_token, context.now_ns))
    if token is None:
        raise Refusal(400, "token to revoke not found")
    draft = Draft()
    bytes_left = ORPHANS_BYTES_MAX
    for key in view.token_children(token.key):
        found = view.get(Table.TOKEN, key)
        assert found is not None, "the index of children is a function of the records"
        bytes_left -= len(found[1])
        if len(draft.puts) == ORPHANS_MAX or bytes_left < 0:
            return Plan(Answer(), _leave_orphaner(view, token))
        draft.expect(Table.TOKEN, key, found[0])
        draft.put(Table.TOKEN, key, records.change(Token, found[1], parent=None))
    _drop_token(view, draft, token)
    return Plan(Answer(), draft)


def required_accessor(request: RawRequest) -> str:
    """The accessor in the request. Raises Refusal with 400 where there is none."""
    accessor = to_text("accessor", parameters(request).get("accessor"))
    if not accessor:
        raise Refusal(400, "missing accessor", wrapped=True)
    return accessor


def _required_token(request: RawRequest) -> str:
    raw_token = to_text("token", parameters(request).get("token"))
    if not raw_token:
        raise Refusal(400, "missing token ID")
    return raw_token


def _stored(token: TokenView | None) -> TokenView | None:
    """The token, unless there is nothing of it to revoke (R4)."""
    if token is not None and token.is_batch:
        raise _not_revocable()
    return token


def _not_revocable() -> Refusal:
    return Refusal(400, "batch tokens cannot be revoked")


def _revoke(context: Context, token: TokenView | None) -> Plan:
    draft = Draft()
    if token is not None:
        revoke_token(context.view, draft, token)
    return Plan(Answer(), draft)


def _drop_token(view: View, draft: Draft, token: TokenView) -> None:
    draft.expect(Table.TOKEN, token.key, token.index)
    draft.drop(Table.TOKEN, token.key)
    _drop_accessor(view, draft, token)
    sweeps.drop_cubbyhole(view, draft, token.key)


def _drop_accessor(view: View, draft: Draft, token: TokenView) -> None:
    found = view.get(Table.ACCESSOR, token.record.accessor)
    if found is not None:
        draft.expect(Table.ACCESSOR, token.record.accessor, found[0])
        draft.drop(Table.ACCESSOR, token.record.accessor)


def _leave_orphaner(view: View, token: TokenView) -> Draft:
    draft = Draft()
    draft.expect(Table.TOKEN, token.key, token.index)
    draft.put(Table.TOKEN, token.key, Token(type=ORPHANER, created_ns=token.record.created_ns, renewable=False))
    _drop_accessor(view, draft, token)
    sweeps.drop_cubbyhole(view, draft, token.key)
    return draft
