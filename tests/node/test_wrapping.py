"""What is wrapped and what is not, decided without a node: answers, lifetimes, accessors, sizes."""

from __future__ import annotations

import json

import pytest

from cluster import Draft, Mount, Table, Token
from node import wrapping
from node.engines import wrapping_tokens
from node.engines.base import Caller, Context, Plan
from node.engines.cubbyhole import kept_by
from node.http.render import respond
from node.request import Answer, Operation, RawJson, RawResponse, Refusal
from tests.node.auth.world import NS, START_NS, World, make_request

PATH = "kv/a"


@pytest.fixture
def world() -> World:
    return World()


def context_of(world: World, mount: Mount | None = None) -> Context:
    caller = Caller(token_key=b"t" * 32)
    return Context(world.state, world.now_ns, world.random, world.keys, caller, "kv/", mount or Mount(uuid=b"k" * 16))


def request_for(ttl_s: int | None = 60, token: str | None = None, body: object = None, path: str = PATH):
    request = make_request("read" if body is None else "update", path, body, token)
    request.wrap_ttl_s = ttl_s
    return request


def wrap(world: World, answer: Answer, ttl_s: int | None = 60, mount: Mount | None = None) -> Plan:
    plan = wrapping.wrapped(context_of(world, mount), request_for(ttl_s), Plan(answer))
    world.apply(plan.draft)
    return plan


def stored(world: World, plan: Plan, path: str = "response"):
    key = world.keys.token_hash(plan.answer.wrap_info["token"])
    found = kept_by(context_of(world), key, path)
    return None if found is None else found.value


def test_the_answer_is_a_token_and_the_envelope_is_what_it_holds(world):
    """One use, no parent, no renewal; what is sent has no request id, what is kept has the one of the request."""
    plan = wrap(world, Answer(data={"k": "v"}, warnings=["w"], lease_duration_s=5, inject=True))
    info = plan.answer.wrap_info
    record = world.record(info["token"])

    assert plan.secret_answer
    assert record == Token(
        accessor=info["accessor"].encode(), policies=["response-wrapping"], created_ns=START_NS,
        expires_ns=START_NS + 60 * NS, creation_ttl_s=60, explicit_max_ttl_s=60, num_uses=1, renewable=False,
        display_name="", path=PATH,
    )  # fmt: skip
    kept = json.loads(stored(world, plan).response)
    assert kept == {
        "request_id": "00000000-0000-0000-0000-000000000000", "lease_id": "", "renewable": False, "lease_duration": 5,
        "data": {"k": "v"}, "wrap_info": None, "warnings": ["w"], "auth": None,
    }  # fmt: skip
    sent = json.loads(respond("id", plan.answer).body)
    empty = {"request_id": "", "lease_id": "", "renewable": False, "lease_duration": 0, "data": None, "warnings": None}
    assert sent == empty | {"auth": None, "wrap_info": info}
    assert info == {
        "token": info["token"], "accessor": info["accessor"], "ttl": 60, "creation_path": PATH,
        "creation_time": "2025-11-24T09:41:00.25Z",
    }  # fmt: skip


def test_what_is_wrapped_stands_in_sealed_entries_alone(world):
    """In no other record; and the transaction touches everything, as entries do."""
    plan = wrap(world, Answer(data={"k": "planted"}))

    assert [record for table, _, record in plan.draft.puts if b"planted" in record and table != Table.ENTRY] == []
    assert world.count(Table.ENTRY) == 2
    assert plan.draft.hashes == ()


@pytest.mark.parametrize(
    "answer",
    [
        Answer(),
        Answer(data={"help": "h"}, bare=True),
        Answer(raw=RawResponse(200, b"{}")),
        Answer(status=202, bare=True),
        Answer(wrap_info={"token": "t"}),
    ],
    ids=["nothing", "help", "raw", "bare", "wrapped"],
)
def test_what_holds_nothing_to_wrap_stays(world, answer):
    """And no token is made."""
    plan = wrap(world, answer)

    assert plan.answer is answer
    assert plan.draft.empty


@pytest.mark.parametrize(("status", "texts"), [(404, 0), (400, 1)])
def test_an_error_that_holds_data_leaves_without_it(world, status, texts):
    """A part of a batch, or what is left of a deleted version, is not given bare to who asked for it wrapped."""
    with pytest.raises(Refusal) as refused:
        wrap(world, Answer(status=status, data={"k": "v"}))
    assert (refused.value.status, len(refused.value.texts), refused.value.data) == (status, texts, None)

    plain = Answer(status=status, data={"k": "v"})
    assert wrap(world, plain, None).answer is plain


def test_nobody_without_a_token_has_anything_kept_but_a_login(world):
    """Or anybody could fill the cluster with answers that are open to all."""
    context = context_of(world)
    context.caller = Caller()
    open_answer, login = Answer(data={"open": True}), Answer(auth={"client_token": "t", "accessor": "a"})
    plans = [wrapping.wrapped(context, request_for(), Plan(answer)) for answer in (open_answer, login)]

    assert [plan.answer.wrap_info is None for plan in plans] == [True, False]
    assert plans[0].draft.empty


@pytest.mark.parametrize(
    ("header_s", "engine_s", "ttl_s"),
    [(60, 0, 60), (60, 30, 30), (30, 60, 30), (None, 45, 45), (10**12, 0, 2_764_800)],
)
def test_the_smaller_ttl_counts(world, header_s, engine_s, ttl_s):
    """An engine may ask for wrapping by itself; without either nothing is wrapped."""
    plan = wrap(world, Answer(data={}, wrap_ttl_s=engine_s), header_s)
    assert plan.answer.wrap_info["ttl"] == ttl_s

    assert wrap(world, Answer(data={}), None).answer.wrap_info is None


@pytest.mark.parametrize(
    ("answer", "type_", "accessor"),
    [
        (Answer(auth={"client_token": "t", "accessor": "acc"}), "kv", "acc"),
        (Answer(auth={"client_token": "t", "accessor": ""}), "kv", None),  # a batch token has none
        (Answer(data={"secret_id_accessor": "sid"}), "approle", "sid"),
        (Answer(data=RawJson(b'{"secret_id_accessor":"sid"}')), "approle", "sid"),
        (Answer(data={"secret_id_accessor": "sid"}), "kv", None),
        (Answer(data=RawJson(b"[1]")), "approle", None),
    ],
)
def test_whose_accessor_is_told(world, answer, type_, accessor):
    """Of a token, and of a secret-id: so that it can be revoked by whoever wrapped it."""
    plan = wrap(world, answer, mount=Mount(uuid=b"k" * 16, type=type_))

    assert plan.answer.wrap_info.get("wrapped_accessor") == accessor


def test_what_is_too_large_is_refused_and_not_answered_bare(world):
    """413."""
    plan = Plan(Answer(data={"k": "x" * wrapping_tokens.WRAPPED_BYTES_MAX}))
    with pytest.raises(Refusal) as refused:
        wrapping.wrapped(context_of(world), request_for(), plan)

    assert refused.value.status == 413


def test_it_stands_beside_what_the_request_changes(world):
    """One transaction, which touches everything, whatever the request alone would have touched."""
    draft = Draft()
    draft.put(Table.FACT, b"changed", b"\x91\x01")
    draft.hashes = (b"12345678",)
    plan = wrapping.wrapped(context_of(world), request_for(), Plan(Answer(data={}), draft))

    assert plan.draft.hashes == ()
    assert {Table(table) for table, _, _ in plan.draft.puts} == {Table.FACT, Table.TOKEN, Table.ACCESSOR, Table.ENTRY}


@pytest.mark.parametrize(
    ("ttl_s", "operation", "leader"),
    [(60, Operation.READ, True), (None, Operation.READ, False), (60, Operation.HELP, False)],
)
def test_a_wrapped_request_is_the_leader_s(ttl_s, operation, leader):
    """Whatever it does, because a token is made; help is not wrapped."""
    request = request_for(ttl_s)
    request.operation = operation

    assert wrapping.goes_to_leader(request) is leader


# ---- which token a request is about
VALID = "wrapping token is not valid or does not exist"


@pytest.mark.parametrize(
    ("body", "token", "status", "text"),
    [
        ({}, None, 403, "error validating wrapping token: token is empty"),
        ({"token": None}, None, 403, "error validating wrapping token: token is empty"),
        ({"token": ""}, "root", 403, "error validating wrapping token: empty token in request body"),
        ({"token": {"a": 1}}, "root", 403, "error validating wrapping token: could not decode token in request body"),
        ({"token": "s.bad"}, "root", 400, VALID),
        ({"token": "hvb.bad"}, "root", 400, VALID),
        ({"token": "é"}, "root", 400, VALID),
        ({}, "root", 400, VALID),
        ({"token": None}, "root", 400, VALID),
        ({}, "s.bad", 400, VALID),
    ],
)
def test_without_a_wrapping_token_nothing_is_said(world, body, token, status, text):
    """As recorded; root is none, a made-up one is none."""
    raw = world.root if token == "root" else token
    with pytest.raises(Refusal) as refused:
        wrapping_tokens.named_token(world.state, world.keys, request_for(None, raw, body), world.now_ns)

    assert (refused.value.status, refused.value.texts, refused.value.wrapped) == (status, (text,), False)


def test_the_wrapping_token_is_the_one_in_the_body_or_the_one_that_asks(world):
    """The body's counts where both are there; an expired one is none."""
    one, two = (wrap(world, Answer(data={"n": number})).answer.wrap_info["token"] for number in (1, 2))

    def named(token, body):
        request = request_for(None, token, body)
        return wrapping_tokens.named_token(world.state, world.keys, request, world.now_ns).key

    assert named(world.root, {"token": one}) == named(one, {}) == world.keys.token_hash(one)
    assert named(one, {"token": two}) == world.keys.token_hash(two)
    world.pass_time(60)
    with pytest.raises(Refusal):
        named(one, {})


def test_a_token_of_another_policy_beside_is_no_wrapping_token(world):
    """Exactly the one policy: nobody can assign it, so nobody but us makes such a token."""
    other = world.make({"policies": ["default"], "num_uses": 1})
    with pytest.raises(Refusal):
        wrapping_tokens.named_token(world.state, world.keys, request_for(None, other, {}), world.now_ns)
