"""sys/leases: looked up, listed, renewed, revoked alone and by prefix; valid only while everything it hangs from is."""

from __future__ import annotations

import pytest

from cluster import Table
from node.engines import leases
from node.engines.base import Caller, Context, LeaseWish, Plan
from node.request import Answer, Refusal
from tests.node.engines.pki.site import PkiWorld, keys_of

NS = 10**9
LEASE = "pki/issue/web/000000000000000000000000"
OTHER = "pki/issue/db/000000000000000000000001"
DEEP = "pki/sign/a/b/000000000000000000000002"
NOT_FOUND = (400, "lease not found", False)
INVALID = (400, "invalid lease", False)


@pytest.fixture
def world() -> PkiWorld:
    world = PkiWorld(root=None)
    for lease_id in (LEASE, OTHER, DEEP):
        world.put_lease(lease_id)
    return world


def lives(world: PkiWorld, lease_id: str = LEASE) -> bool:
    try:
        return bool(world.data("update", "sys/leases/lookup", {"lease_id": lease_id}))
    except Refusal as refusal:
        if refusal.texts != ("invalid lease",):
            raise
        return False


# ---- looking
def test_a_lookup_says_when_a_lease_began_and_ends(world):
    """In Vault's fields; a renewal shows."""
    world.pass_time(60)
    first = world.data("update", "sys/leases/lookup", {"lease_id": LEASE})
    world.ask("update", "sys/leases/renew", {"lease_id": LEASE})
    second = world.data("update", "sys/lookup", {"lease_id": LEASE})

    assert list(first) == ["id", "issue_time", "expire_time", "last_renewal", "renewable", "ttl"]
    assert (first["id"], first["last_renewal"], first["renewable"], first["ttl"]) == (LEASE, None, True, 3539)
    assert (second["issue_time"], second["ttl"]) == (first["issue_time"], 3599)
    assert second["last_renewal"] > first["issue_time"]
    assert second["expire_time"] > first["expire_time"]


@pytest.mark.parametrize(
    ("path", "body", "refusal"),
    [
        ("lookup", {}, (400, "lease_id must be specified", False)),
        ("lookup", {"lease_id": "pki/issue/web/x"}, INVALID),
        ("renew", {}, (400, "lease_id must be specified", False)),
        ("renew", {"lease_id": "pki/issue/web/x"}, NOT_FOUND),
        ("renew", {"lease_id": "auth/token/create/x"}, (400, "tokens cannot be renewed through this endpoint", False)),
        ("renew/auth/token/create/x", {}, (400, "tokens cannot be renewed through this endpoint", False)),
        ("renew/pki/issue/web/x", {}, NOT_FOUND),
        ("revoke", {}, (400, "lease_id must be specified", False)),
        ("renew", {"lease_id": LEASE + "/"}, NOT_FOUND),
        ("renew", {"lease_id": LEASE[:-1]}, NOT_FOUND),
    ],
)
def test_what_is_no_lease_is_refused_in_vaults_words(world, path, body, refusal):
    """Under the old names just the same."""
    assert world.refused("update", f"sys/leases/{path}", body) == refusal
    assert world.refused("update", f"sys/{path}", body) == refusal


def test_leases_are_listed_by_folder(world):
    """Folders with their slash; a prefix without anything is 404."""
    assert keys_of(world.ask("list", "sys/leases/lookup/")) == ["pki/"]
    assert keys_of(world.ask("list", "sys/leases/lookup/pki/")) == ["issue/", "sign/"]
    assert keys_of(world.ask("list", "sys/leases/lookup/pki/issue/web/")) == [LEASE[-24:]]
    assert world.refused("list", "sys/leases/lookup/kv/") == (404, "", False)


def test_a_list_names_no_folder_in_which_nothing_lives(world):
    """Though the records are still there to be removed."""
    world.ask("update", "sys/leases/revoke-prefix/pki/issue")
    world.ask("update", "sys/leases/revoke", {"lease_id": DEEP})

    assert world.refused("list", "sys/leases/lookup/pki/") == (404, "", False)
    assert world.count(Table.LEASE) == 2


def test_a_list_looks_at_so_many_leases_and_no_more(world, monkeypatch):
    """What lies behind is named unseen: a list of a million is a list of names."""
    world.ask("update", "sys/leases/revoke-prefix/pki")
    monkeypatch.setattr(leases, "LOOKED_MAX", 1)

    assert leases.names(world.state, "pki/issue/", world.now_ns) == ["web/"]
    monkeypatch.setattr(leases, "LOOKED_MAX", 2)
    assert leases.names(world.state, "pki/issue/", world.now_ns) == []


@pytest.mark.parametrize("path", ["lookup/pki/", "lookup/"])
def test_listing_needs_sudo(world, path):
    """Ids of other people's leases are in it."""
    world.policy("plain", 'path "sys/leases/*" { capabilities = ["list", "read", "update"] }')
    both = 'path "sys/leases/lookup/{}" {{ capabilities = ["list", "sudo"] }}'
    world.policy("sudo", both.format("") + both.format("*"))
    plain, sudo = world.make({"policies": ["plain"]}), world.make({"policies": ["sudo"]})

    assert world.refused("list", f"sys/leases/{path}", token=plain) == (403, "permission denied", True)
    assert keys_of(world.ask("list", f"sys/leases/{path}", token=sudo))
    limited = world.make({"policies": ["sudo"], "num_uses": 1})
    assert keys_of(world.ask("list", f"sys/leases/{path}", token=limited))
    assert not world.works(limited)


@pytest.mark.parametrize("name", ["leases/revoke-prefix", "leases/revoke-force", "revoke-prefix", "revoke-force"])
def test_revoking_a_prefix_needs_sudo_under_every_name(world, name):
    """An old name is no way around (CVE-2026-45808)."""
    world.policy("plain", 'path "sys/*" { capabilities = ["update"] }')
    world.policy("sudo", 'path "sys/*" { capabilities = ["update", "sudo"] }')
    plain, sudo = world.make({"policies": ["plain"]}), world.make({"policies": ["sudo"]})

    assert world.refused("update", f"sys/{name}/pki", token=plain) == (403, "permission denied", True)
    assert lives(world)
    assert world.ask("update", f"sys/{name}/pki", token=sudo).empty
    assert not lives(world)


def test_the_default_policy_looks_up_and_renews_and_revokes_nothing(world):
    """Whoever knows an id may keep it alive, as in Vault; ending it is for those who may."""
    token = world.make({"policies": ["default"]})

    assert world.data("update", "sys/leases/lookup", {"lease_id": LEASE}, token=token)["id"] == LEASE
    assert world.ask("update", "sys/leases/renew", {"lease_id": LEASE}, token=token).lease_id == LEASE
    for path in ("leases/revoke", "revoke", "renew", "lookup"):
        assert world.refused("update", f"sys/{path}", {"lease_id": LEASE}, token=token)[0] == 403
    assert lives(world)


# ---- validity
def test_a_lease_ends_at_its_end(world):
    """Not a second later, and its record goes by itself."""
    world.pass_time(3599)
    before = lives(world)
    world.pass_time(1)

    assert (before, lives(world)) == (True, False)
    assert world.refused("update", "sys/leases/renew", {"lease_id": LEASE}) == (400, "lease expired", False)
    world.sweep()
    assert world.count(Table.LEASE) == 0


@pytest.mark.parametrize("end", ["revoke", "parent", "expiry"])
def test_a_lease_is_valid_only_while_its_token_is(world, end):
    """From the index on at which the token, or one above it, is gone; another's lease lives on."""
    parent = world.make({"policies": ["root"], "ttl": "30m"})
    child = world.make({"policies": ["root"], "ttl": "20m"}, token=parent)
    world.put_lease(LEASE + "c", token=world.keys.token_hash(child))
    before = lives(world, LEASE + "c")
    if end == "revoke":
        world.ask("update", "auth/token/revoke", {"token": child})
    elif end == "parent":
        world.ask("update", "auth/token/revoke", {"token": parent})
    else:
        world.pass_time(1200)

    assert (before, lives(world, LEASE + "c"), lives(world)) == (True, False, True)
    assert world.refused("update", "sys/leases/renew", {"lease_id": LEASE + "c"}) == NOT_FOUND


def test_a_lease_is_valid_only_in_the_mount_it_was_made_in(world):
    """A mount that is gone takes its leases with it; what is mounted there next does not get them."""
    world.ask("delete", "sys/mounts/pki")
    gone = lives(world)
    world.mount("pki")

    assert (gone, lives(world)) == (False, False)
    assert world.refused("list", "sys/leases/lookup/pki/")[0] == 404
    world.put_lease(LEASE + "n")
    assert lives(world, LEASE + "n")


# ---- renewing
@pytest.mark.parametrize(
    ("increment", "max_ttl_s", "passed_s", "expected_s", "capped"),
    [
        (None, 0, 60, 3600, False), (0, 0, 60, 3600, False), ("2h", 0, 60, 7200, False), (60, 0, 60, 60, False),
        ("2h", 5400, 60, 5339, True), (None, 3660, 60, 3599, True), ("8000h", 0, 60, 2_764_739, True),
    ],
)  # fmt: skip
def test_a_renewal_goes_to_its_increment_and_not_beyond_the_maximum(
    world, increment, max_ttl_s, passed_s, expected_s, capped
):
    """Of the lease and of the mount, both counted from the issue; without an increment, what it had at first."""
    world.put_lease(LEASE + "r", max_ttl_s=max_ttl_s)
    world.pass_time(passed_s)
    body = {"lease_id": LEASE + "r"} | ({} if increment is None else {"increment": increment})
    answer = world.ask("update", "sys/leases/renew", body)

    assert (answer.lease_id, answer.renewable, answer.data) == (LEASE + "r", True, None)
    assert answer.lease_duration_s == expected_s
    assert bool(answer.warnings) is capped
    assert not answer.empty
    assert world.plans[-1].secret_answer
    assert world.lease(LEASE + "r").expires_ns // NS - world.now_ns // NS in {expected_s, expected_s - 1}


def test_a_lease_past_its_maximum_or_not_renewable_is_not_renewed(world):
    """It keeps the end it has."""
    world.put_lease(LEASE + "p", max_ttl_s=30)
    world.put_lease(LEASE + "n", renewable=False)
    world.pass_time(31)

    assert world.refused("update", "sys/leases/renew", {"lease_id": LEASE + "p"})[:2] == (
        400, "past the max TTL, cannot renew",
    )  # fmt: skip
    assert world.refused("update", f"sys/leases/renew/{LEASE}n", {}) == (400, "lease is not renewable", False)
    assert world.refused("update", "sys/leases/renew", {"lease_id": LEASE, "increment": -5})[0] == 400


# ---- revoking
@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("leases/revoke", {"lease_id": LEASE}, 200), (f"leases/revoke/{LEASE}", {}, 200),
        ("revoke", {"lease_id": LEASE}, 200),
        ("leases/revoke", {"lease_id": LEASE, "sync": False}, 202), (f"leases/revoke-prefix/{LEASE}", {}, 200),
        (f"leases/revoke-force/{LEASE}", {"sync": False}, 202), ("revoke-prefix/pki/issue/web/", None, 200),
        ("leases/revoke-prefix/pki/issue/web", {}, 200),
    ],
)  # fmt: skip
def test_a_revoked_lease_is_gone_when_it_is_answered(world, path, body, status):
    """Whether or not the client wanted to wait; 204, or 202. Others are as they were."""
    if path.endswith("/"):
        assert world.refused("update", f"sys/{path}", body)[1] == "cannot write to a path ending in '/'"
        return
    answer = world.ask("update", f"sys/{path}", body)

    assert (answer.status, lives(world), lives(world, OTHER), lives(world, DEEP)) == (status, False, True, True)
    assert world.ask("update", f"sys/{path}", body).status == status
    assert (answer.empty, answer.warnings) == (status == 200, None)


def test_a_prefix_is_a_folder_and_not_the_beginning_of_a_name(world):
    """`pki/iss` is not `pki/issue/`; a lease issued afterwards is not meant."""
    world.ask("update", "sys/leases/revoke-prefix/pki/iss")
    world.ask("update", "sys/leases/revoke-prefix/pki/issue/we")
    before = lives(world)
    world.ask("update", "sys/leases/revoke-prefix/pki/issue")
    world.pass_time(1)
    world.put_lease(LEASE + "a")

    assert (before, lives(world), lives(world, LEASE + "a"), lives(world, DEEP)) == (True, False, True, True)
    world.sweep()
    assert (lives(world, LEASE + "a"), lives(world, DEEP), world.count(Table.LEASE)) == (True, True, 2)


def test_a_prefix_of_many_is_one_small_fact(world):
    """It is answered at once, and removed in steps."""
    for number in range(1200):
        world.put_lease(f"pki/issue/many/{number:024}")
    world.ask("update", "sys/leases/revoke-prefix/pki/issue/many")
    draft = world.plans[-1].draft

    assert (len(draft.puts), len(draft.drops)) == (1, 0)
    assert not lives(world, f"pki/issue/many/{7:024}")
    assert world.sweep() == 2
    assert world.count(Table.LEASE) == 3


def test_tokens_are_not_reached_through_a_prefix(world):
    """They have no lease here: who believes that they were revoked would be wrong."""
    for prefix in ("auth", "auth/token", "auth/userpass/login/bob"):
        assert world.refused("update", f"sys/leases/revoke-prefix/{prefix}", {}) == (
            400, "tokens have no lease here: revoke them by token, by accessor or with their parent", False,
        )  # fmt: skip


def test_tidy_and_counts_answer_as_clients_expect(world):
    """No lease is irrevocable; whatever else is asked for is not there."""
    assert world.ask("update", "sys/leases/tidy", {}).status == 202
    assert world.data("read", "sys/leases", query={"type": "irrevocable"}) == {"lease_count": 0, "leases": []}
    assert world.data("read", "sys/leases/count", query={"type": "irrevocable"}) == {"lease_count": 0, "counts": {}}
    assert world.refused("read", "sys/leases/count") == (404, "", False)
    assert world.refused("read", "sys/leases", token=world.make({"policies": ["default"]}))[0] == 403


def test_a_token_that_is_made_again_under_its_id_has_no_lease_of_the_first(world):
    """Neither looked up, listed nor renewed; one that the second is given is its own, and a renewed token's stays."""
    body = {"id": "chosen", "policies": ["root"], "ttl": "10h"}
    old, new = "pki/issue/x/00000000000000000000000a", "pki/issue/x/00000000000000000000000b"
    key = world.keys.token_hash(world.make(body))
    world.put_lease(old, token=key)
    world.pass_time(60)
    world.ask("update", "auth/token/renew", {"token": "chosen"})
    before = lives(world, old)
    world.ask("update", "auth/token/revoke", {"token": "chosen"})
    dead = lives(world, old)
    world.make(body)
    world.put_lease(new, token=key)

    assert (before, dead, lives(world, old), lives(world, new)) == (True, False, False, True)
    assert keys_of(world.ask("list", "sys/leases/lookup/pki/issue/x/")) == [new[-24:]]
    assert world.refused("update", "sys/leases/renew", {"lease_id": old}) == NOT_FOUND


def test_many_leases_are_judged_as_one_by_one(world):
    """Of valid and revoked tokens, below revoked prefixes and beside them, in any order."""
    tokens = [world.make({"policies": ["root"]}) for _ in range(3)]
    ids = [f"pki/issue/{folder}/{at:024}" for at in range(6) for folder in ("a", "b")]
    for at, lease_id in enumerate(ids):
        world.put_lease(lease_id, token=world.keys.token_hash(tokens[at % 3]))
    world.ask("update", "auth/token/revoke", {"token": tokens[0]})
    world.ask("update", "sys/leases/revoke-prefix/pki/issue/a")
    world.pass_time(1)
    world.put_lease(later := f"pki/issue/a/{9:024}")
    validity = leases.Validity(world.state, world.now_ns)
    found = [lease_id for lease_id in (*ids, later) if validity.is_valid(lease_id)]

    assert found == [lease_id for lease_id in (*ids, later) if lives(world, lease_id)]
    assert found == [*(lease_id for at, lease_id in enumerate(ids) if at % 3 and "/b/" in lease_id), later]


# ---- granting
def granted(world: PkiWorld, caller: Caller, *, last_use: bool = False) -> Plan:
    plan = Plan(Answer(data={}), lease=LeaseWish(LEASE + "g", ttl_s=60, max_ttl_s=90, renewable=True))
    context = Context(world.state, world.now_ns, world.random, world.keys, caller, "pki/", _mount(world))
    leases.grant(context, plan, "pki/issue/web", last_use=last_use)
    return plan


def _mount(world: PkiWorld):
    found = leases.find(world.state, LEASE, world.now_ns)
    assert found is not None
    return found.mount


def test_a_wish_becomes_a_record_in_the_same_draft_and_an_answer(world):
    """What is answered is what was stored; nothing is wished for, nothing is made."""
    plan = granted(world, Caller(token_key=world.keys.token_hash(world.root)))
    world.apply(plan.draft)
    record = world.lease(LEASE + "g")

    assert (plan.answer.lease_id, plan.answer.lease_duration_s, plan.answer.renewable) == (LEASE + "g", 60, True)
    assert (record.path, record.ttl_s, record.max_ttl_s, record.renewable) == ("pki/issue/web", 60, 90, True)
    assert (record.mount, plan.secret_answer) == (_mount(world).uuid, True)
    assert lives(world, LEASE + "g")
    none = Plan(Answer())
    leases.grant(Context(world.state, 0, world.random, world.keys, Caller()), none, "x", last_use=True)
    assert none.draft.empty


@pytest.mark.parametrize(
    ("caller", "last_use", "status"),
    [(Caller(), False, 403), (Caller(token_key=b"k", type="batch"), False, 400), (Caller(token_key=b"k"), True, 400)],
    ids=["nobody", "batch", "last use"],
)
def test_who_cannot_hold_a_lease_gets_no_secret(world, caller, last_use, status):
    """Nobody, a batch token, a token that is used up by this request."""
    with pytest.raises(Refusal) as refused:
        granted(world, caller, last_use=last_use)

    assert refused.value.status == status


def test_ids_are_the_path_and_24_characters(world):
    """Fresh ones each time."""
    first, second = (leases.new_id("pki/issue/web", world.random) for _ in range(2))

    assert first != second
    assert first.startswith("pki/issue/web/")
    assert (len(first.rpartition("/")[2]), first.rpartition("/")[2].isalnum()) == (24, True)
