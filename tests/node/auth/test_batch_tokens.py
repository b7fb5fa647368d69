"""Batch tokens: they carry everything, are stored nowhere, and end by what is stored of others."""

import base64

import pytest

from cluster import BATCH_TOKENS_VOID, Draft, Fact, Mount, Table, Token
from node.auth.batch_tokens import PREFIX, RAW_CHARACTERS_MAX, make_batch_token, open_batch_token
from node.auth.login import Login, issue
from node.auth.token_params import TokenParams
from node.engines.base import Caller, Context
from node.request import Refusal
from tests.node.auth.world import NS, START_NS, World, make_request

CREATE = "auth/token/create"
BATCH = {"type": "batch", "policies": ["app"], "ttl": "1h"}
RECORD = {"policies": ["app"], "created_ns": START_NS, "expires_ns": START_NS + NS}


@pytest.fixture
def world() -> World:
    world = World()
    rules = (
        ("auth/token/*", '["update", "read"]'),
        ("sys/capabilities", '["update"]'),
        ("cubbyhole/*", '["read"]'),
        ("sys/mounts", '["read"]'),
    )
    text = "\n".join(f'path "{path}" {{ capabilities = {capabilities} }}' for path, capabilities in rules)
    world.policy("app", text)
    return world


def test_nothing_of_it_is_stored(world):
    """No token, no accessor, no lease: the answer is all there is, and it is never kept for a repetition."""
    before = (world.count(Table.TOKEN), world.count(Table.ACCESSOR))
    answer = world.ask("update", CREATE, BATCH)

    assert before == (world.count(Table.TOKEN), world.count(Table.ACCESSOR))
    assert world.plans[-1].draft.empty
    assert world.plans[-1].secret_answer
    auth = answer.auth
    assert auth["client_token"].startswith(PREFIX)
    wanted = {
        "accessor": "", "token_type": "batch", "renewable": False, "lease_duration": 3600, "num_uses": 0,
        "orphan": False, "policies": ["app", "default"],
    }  # fmt: skip
    assert {name: auth[name] for name in wanted} == wanted


def test_it_is_looked_up_by_itself_alone(world):
    """Lookup and lookup-self show what it carries, without an accessor; another's is a bad token."""
    token = world.make(BATCH | {"meta": {"k": "v"}, "display_name": "job"})
    world.pass_time(60)
    own = world.data("read", "auth/token/lookup-self", token=token)
    wanted = {
        "accessor": "", "id": token, "type": "batch", "ttl": 3540, "creation_ttl": 3600, "orphan": False,
        "display_name": "token-job", "meta": {"k": "v"}, "num_uses": 0, "path": CREATE, "renewable": False,
        "explicit_max_ttl": 0, "policies": ["app", "default"], "entity_id": "",
    }  # fmt: skip

    assert {name: own[name] for name in wanted} == wanted
    assert world.data("update", "auth/token/lookup", {"token": token}) == own
    assert world.refused("update", "auth/token/lookup", {"token": token + "A"}) == (403, "bad token", False)
    assert world.data("update", "sys/capabilities", {"token": token, "path": "sys/mounts"})["sys/mounts"] == ["read"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("create", "batch tokens cannot create more tokens"),
        ("create-orphan", "batch tokens cannot create more tokens"),
        ("renew-self", "batch tokens cannot be renewed"),
        ("renew", "batch tokens cannot be renewed"),
        ("revoke-self", "batch tokens cannot be revoked"),
        ("revoke", "batch tokens cannot be revoked"),
    ],
)
def test_what_a_batch_token_cannot(world, path, text):
    """In Vault's words; the same by a service token goes."""
    token = world.make(BATCH)
    assert world.refused("update", f"auth/token/{path}", {"token": token}, token=token) == (400, text, False)
    assert world.works(token)

    service = world.make({"policies": ["app"], "ttl": "1h"})
    world.ask("update", f"auth/token/{path}", {"token": service}, token=service)


def test_root_cannot_orphan_its_children_either(world):
    """There is nothing to revoke, and no child."""
    token = world.make(BATCH)

    assert world.refused("update", "auth/token/revoke-orphan", {"token": token})[:2] == (
        400, "batch tokens cannot be revoked",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({}, "batch tokens cannot be root tokens"),
        ({"policies": ["root"]}, "batch tokens cannot be root tokens"),
        ({"policies": ["app"], "num_uses": 3}, 'batch tokens cannot have "num_uses" set'),
        ({"policies": ["app"], "period": "1h"}, 'batch tokens cannot have "period" set'),
        ({"policies": ["app"], "explicit_max_ttl": "1h"}, 'batch tokens cannot have "explicit_max_ttl" set'),
        ({"policies": ["app"], "id": "chosen"}, 'batch tokens cannot have "id" set'),
        ({"policies": ["response-wrapping"]}, 'cannot assign policy "response-wrapping"'),
        ({"policies": ["app"], "meta": {"k": "v" * 4000}}, "longer than 4096 characters"),
    ],
)
def test_what_cannot_be_a_batch_token(world, asked, text):
    """400; what stands beside it without meaning anything is taken."""
    status, said, _ = world.refused("update", CREATE, asked | {"type": "batch"})
    assert (status, text in said) == (400, True)

    for allowed in ({"renewable": True}, {"period": 0}, {"explicit_max_ttl": "0"}, {"num_uses": 0}):
        world.make(BATCH | allowed)


def test_it_gives_no_more_than_its_parent_may(world):
    """The rules of children hold for it, too."""
    parent = world.make({"policies": ["app"]})
    asked = {"type": "batch", "policies": ["other"]}

    refused = world.refused("update", CREATE, asked, token=parent)
    assert refused == (400, "child policies must be subset of parent", False)
    assert world.works(world.make({"type": "batch"}, token=parent))


@pytest.mark.parametrize(
    ("of_role", "of_mount", "kind"),
    [
        ("", "", "service"), ("", "default-service", "service"), ("", "default-batch", "batch"), ("", "batch", "batch"),
        ("batch", "", "batch"), ("default-batch", "default-service", "batch"), ("service", "default-batch", "service"),
        ("service", "batch", "batch"), ("batch", "service", "service"), ("default-service", "default-batch", "service"),
    ],
)  # fmt: skip
def test_a_login_makes_the_kind_that_mount_and_role_say(world, of_role, of_mount, kind):
    """The mount's plain word first, then the role's, then the mount's default."""
    mount = Mount(uuid=b"m" * 16, type="approle", config={"token_type": of_mount} if of_mount else {})
    context = Context(world.state, world.now_ns, world.random, world.keys, Caller(), "auth/approle/", mount)
    login = Login(TokenParams(policies=["app"], type=of_role), "somebody")
    plan = issue(context, make_request("update", "auth/approle/login"), login)
    mounted = Draft()
    mounted.put(Table.MOUNT, b"auth/approle/", mount)
    world.apply(mounted)
    world.apply(plan.draft)
    auth, stored = plan.answer.auth, any(table == Table.TOKEN for table, *_ in plan.draft.puts)

    assert (auth["token_type"], bool(auth["accessor"]), stored) == (kind, kind == "service", kind == "service")
    assert auth["renewable"] is (kind == "service")
    assert world.works(auth["client_token"])


def test_a_login_that_cannot_be_a_batch_token_makes_none(world):
    """Where the mount insists and the role counts uses."""
    mount = Mount(uuid=b"m" * 16, type="approle", config={"token_type": "batch"})
    context = Context(world.state, world.now_ns, world.random, world.keys, Caller(), "auth/approle/", mount)
    with pytest.raises(Refusal) as refused:
        issue(context, make_request("update", "auth/approle/login"), Login(TokenParams(num_uses=2), "somebody"))

    assert "limited use count" in refused.value.texts[0]


# ---- when it ends
def test_it_ends_at_its_time(world):
    """To the second, by the cluster's clock."""
    token = world.make(BATCH)
    world.pass_time(3599)
    assert world.works(token)
    world.pass_time(1)
    assert not world.works(token)


@pytest.mark.parametrize("end", ["revoke", "revoke-orphan", "expire", "grandparent"])
def test_it_ends_with_its_parent(world, end):
    """However that ends, and though nothing says of the parent that it has such a child."""
    grandparent = world.make({"policies": ["app"]})
    parent = world.make({"policies": ["app"], "ttl": "30m"}, token=grandparent)
    token, orphan = world.make(BATCH, token=parent), world.make(BATCH | {"no_parent": True})
    assert world.works(token)
    if end == "expire":
        world.pass_time(1801)
    else:
        path = "revoke" if end == "grandparent" else end
        world.ask("update", f"auth/token/{path}", {"token": grandparent if end == "grandparent" else parent})

    assert not world.works(token)
    assert world.works(orphan)


def test_it_ends_with_the_parent_of_too_many_orphans(world):
    """What stays of such a parent keeps its stored children alive, and no batch token."""
    parent = world.make({"policies": ["app"]})
    child, token = world.make(token=parent), world.make(BATCH, token=parent)
    key = world.keys.token_hash(parent)
    draft = Draft()
    draft.put(Table.TOKEN, key, Token(type="orphaner"))
    world.apply(draft)

    assert world.works(child)
    assert not world.works(token)


def test_a_later_token_of_its_parents_id_is_not_its_parent(world):
    """What died with the first stays dead; a batch token of the second works."""
    parent = {"id": "chosen", "policies": ["app"], "ttl": "1h"}
    old = world.make(BATCH, token=world.make(parent))
    world.ask("update", "auth/token/revoke", {"token": "chosen"})
    world.sweep()
    world.pass_time(1)
    world.make(parent)

    assert not world.works(old)
    assert world.works(world.make(BATCH, token="chosen"))


def test_an_id_is_taken_while_a_stored_child_of_it_is_left(world):
    """The twin: service tokens cannot come back so, because the id is not given away before they are gone."""
    parent = {"id": "chosen", "policies": ["app"], "ttl": "1h"}
    child = world.make({"policies": ["app"]}, token=world.make(parent))
    world.ask("update", "auth/token/revoke", {"token": "chosen"})
    assert world.refused("update", CREATE, parent)[1] == "cannot create a token with a duplicate ID"
    world.sweep()
    world.pass_time(1)
    world.make(parent)

    assert world.record(child) is None


def test_an_operator_ends_all_of_them_at_once(world):
    """With sudo, and also a second time; those made later work, and service tokens are as they were."""
    path = "auth/token/revoke-batch-tokens"
    service, old = world.make({"policies": ["app"]}), world.make(BATCH)
    assert world.refused("update", path, token=service) == (403, "permission denied", True)
    assert world.works(old)

    world.policy("ops", f'path "{path}" {{ capabilities = ["update", "sudo"] }}')
    operator = world.make({"policies": ["ops"]})
    for _ in range(2):
        world.pass_time(1)
        assert world.ask("update", path, token=operator).empty
        assert world.plans[-1].draft.hashes == ()
        world.pass_time(1)
        new = world.make(BATCH)
        assert [world.works(token) for token in (old, new, service)] == [False, True, True]
        old = new


def test_a_fact_ends_all_of_before(world):
    """Those made at its time or earlier; later ones work."""
    old = world.make(BATCH)
    world.pass_time(1)
    draft = Draft()
    draft.put(Table.FACT, BATCH_TOKENS_VOID, Fact(time_ns=world.now_ns))
    world.apply(draft)
    same = world.make(BATCH)
    world.pass_time(1)

    assert [world.works(token) for token in (old, same, world.make(BATCH))] == [False, False, True]


def test_it_is_bound_to_the_networks_of_its_parent(world):
    """As every child is."""
    world.ask("update", "auth/token/roles/near", {"token_bound_cidrs": "10.0.0.0/8", "allowed_policies": "app"})
    parent = world.make({}, path="create/near")
    answer = world.ask("update", CREATE, BATCH, token=parent, address="10.1.1.1")
    token = answer.auth["client_token"]

    assert world.works(token, "10.2.2.2")
    assert not world.works(token, "127.0.0.1")


# ---- what is none
def test_what_nobody_sealed_is_no_token(world):
    """Any change of any character, any cut, any other spelling, and whatever only begins so."""
    token = world.make(BATCH)
    text = token[len(PREFIX) :]
    changed = [
        text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :] for at in range(0, len(text), 7)
    ]  # fmt: skip
    others = [*changed, text[:-1], text + "=", text + "A", text + "\n", text[:8], "", "é", "A" * 5000]

    assert [other for other in others if world.works(PREFIX + other)] == []
    assert world.works(token)


def test_what_says_more_than_may_be_is_no_token(world):
    """Even sealed by ourselves: root, without an end, or of a form that is not known."""
    sealed = base64.urlsafe_b64decode(make_batch_token(world.keys, world.random, Token(**RECORD))[4:] + "==")
    payload = world.keys.open_token(sealed)
    for wrong in (payload.replace(b"\xa3app", b"\xa4root"), b"\x90", b"\xc1", b"", payload[:1] + b"\x02" + payload[2:]):
        raw = base64.urlsafe_b64encode(world.keys.seal_token(b"n" * 12, wrong)).rstrip(b"=").decode()
        assert open_batch_token(world.keys, PREFIX + raw) is None


@pytest.mark.parametrize("changed", [{"policies": ["root"]}, {"num_uses": 1}, {"period_s": 5}, {"expires_ns": 0}])
def test_none_is_made_that_would_not_be_taken(world, changed):
    """By whichever way somebody comes: logins, roles, requests."""
    with pytest.raises(Refusal):
        make_batch_token(world.keys, world.random, Token(**(RECORD | changed)))


def test_what_is_carried_comes_back(world):
    """Every field that a token of this kind has."""
    record = Token(
        **RECORD, creation_ttl_s=1, display_name="d", path="p", meta={"a": "b"}, entity_id="e", parent=b"p" * 32,
        bound_cidrs=["10.0.0.0/8"], role="r", no_default_policy=True,
    )  # fmt: skip
    raw = make_batch_token(world.keys, world.random, record)
    found = open_batch_token(world.keys, raw)

    assert found == record
    assert (found.type, found.accessor, found.renewable) == ("batch", b"", False)
    assert len(raw) < RAW_CHARACTERS_MAX
