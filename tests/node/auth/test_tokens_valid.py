"""When a token is valid: itself, its ancestors, its networks, its form."""

import re

import pytest

from cluster import Draft, Table, Token
from node.auth import tokens
from node.auth.tokens import DEPTH_MAX, ORPHANER, authenticate, caller_of, find_by_accessor, find_raw, new_secret
from tests.node.auth.world import START_NS, World


@pytest.fixture
def world() -> World:
    return World()


def test_a_fresh_token_has_the_form_that_clients_and_scanners_know(world):
    """Prefix and 24 characters of base 62; an accessor is 24 characters without a prefix."""
    raw_token = world.make({"policies": ["default"]})

    assert re.fullmatch(r"hvs\.[0-9A-Za-z]{24}", raw_token)
    assert re.fullmatch(r"[0-9A-Za-z]{24}", world.record(raw_token).accessor.decode())


def test_every_character_of_a_secret_occurs(world):
    """No part of base 62 is left out, and the same randomness gives the same secret."""
    seen = set("".join(new_secret(world.random) for _ in range(200)))

    assert len(seen) == 62
    assert new_secret(lambda count: b"\1" * count) == new_secret(lambda count: b"\1" * count)


def test_the_root_token_is_valid_for_ever(world):
    """It has no parent and no end."""
    world.pass_time(10 * 365 * 86400)

    assert world.works(world.root)


@pytest.mark.parametrize(
    "raw", [None, "", "hvs.000000000000000000000000", "garbage", "hvs.\u00e9", "x" * 600, "\ud800"]
)
def test_what_is_no_token_is_nobody(world, raw):
    """Unknown, empty, too long, not ASCII: the same answer, and no exception."""
    assert authenticate(world.state, world.keys, raw, world.now_ns, "127.0.0.1") is None


def test_a_token_ends_with_its_time_by_the_stamp(world):
    """Valid until the last nanosecond, not at the deadline itself, whether or not the record is still there."""
    raw_token = world.make({"ttl": "1h"})
    world.now_ns = START_NS + 3600 * 10**9 - 1
    before = world.works(raw_token)
    world.now_ns += 1

    assert (before, world.works(raw_token)) == (True, False)
    assert world.record(raw_token) is not None


@pytest.mark.parametrize("generation", [0, 1, 2])
def test_a_token_is_valid_only_while_every_ancestor_is(world, generation):
    """Revoking any one of a line ends everything below it at once, and nothing above it."""
    line = [world.make({"policies": ["app"]})]
    world.policy("app", 'path "auth/token/create" { capabilities = ["update"] }')
    for _ in range(3):
        line.append(world.make(token=line[-1]))
    world.ask("update", "auth/token/revoke", {"token": line[generation]})

    assert [world.works(raw) for raw in line] == [at < generation for at in range(4)]


def test_a_child_does_not_outlive_an_ancestor_that_expired(world):
    """Before any sweep: the parent's time is over, so is the child's."""
    world.policy("app", 'path "auth/token/create" { capabilities = ["update"] }')
    parent = world.make({"policies": ["app"], "ttl": "1h"})
    child = world.make({"ttl": "10h"}, token=parent)
    world.pass_time(3601)

    assert not world.works(child)


def test_an_orphan_outlives_whoever_made_it(world):
    """The twin: without a parent nothing ends it but its own time."""
    world.policy("app", 'path "auth/token/create-orphan" { capabilities = ["update"] }')
    parent = world.make({"policies": ["app"], "ttl": "1h"})
    orphan = world.make({"ttl": "10h"}, token=parent, path="create-orphan")
    world.pass_time(3601)

    assert (world.works(parent), world.works(orphan)) == (False, True)


@pytest.mark.parametrize(
    ("cidrs", "address", "expected"),
    [
        (None, "10.1.2.3", True),
        ([], "10.1.2.3", True),
        (["10.0.0.0/8"], "10.1.2.3", True),
        (["10.0.0.0/8"], "11.1.2.3", False),
        (["10.1.2.3"], "10.1.2.3", True),
        (["10.1.2.4"], "10.1.2.3", False),
        (["10.1.2.3/8"], "10.9.9.9", True),
        (["192.168.0.0/16", "10.0.0.0/8"], "10.1.2.3", True),
        (["10.0.0.0/8"], "::ffff:10.1.2.3", True),
        (["10.0.0.0/8"], "::ffff:11.1.2.3", False),
        (["2001:db8::/32"], "2001:db8::1", True),
        (["2001:db8::/32"], "10.1.2.3", False),
        (["nonsense"], "10.1.2.3", False),
        (["10.0.0.0/8"], "nonsense", False),
        (["10.0.0.0/8"], "", False),
    ],
)
def test_a_token_bound_to_networks_is_valid_from_inside_only(world, cidrs, address, expected):
    """What cannot be read is outside."""
    world.apply(_token_draft(world, "bound", Token(accessor=b"a", bound_cidrs=cidrs, created_ns=START_NS)))

    assert world.works("bound", address) == expected
    assert find_raw(world.state, world.keys, "bound", world.now_ns) is not None


@pytest.mark.parametrize("fields", [{"num_uses": -1}, {"type": ORPHANER}, {"type": "batch"}, {"parent": b"p" * 32}])
def test_a_record_that_is_no_living_service_token_is_nobody(world, fields):
    """Spent, what is left of a revoked parent, another kind, a child of nobody."""
    world.apply(_token_draft(world, "odd", Token(accessor=b"a", created_ns=START_NS, **fields)))

    assert not world.works("odd")


def test_a_ring_of_parents_ends_and_is_nobody(world):
    """Records that name each other never come from us; if they come, a check still ends."""
    key = world.keys.token_hash("ring")
    world.apply(_token_draft(world, "ring", Token(accessor=b"a", parent=key)))

    assert not world.works("ring")


def test_no_line_of_ancestors_grows_past_its_bound(world):
    """The last generation allowed is valid; its child is refused with a sentence and changes nothing."""
    line = [world.root]
    for _ in range(DEPTH_MAX - 1):
        line.append(world.make({"policies": ["root"], "ttl": "1h"}, token=line[-1]))
    refused = world.refused("update", "auth/token/create", {"policies": ["root"], "ttl": "1h"}, token=line[-1])

    assert world.works(line[-1])
    assert refused[0] == 400
    assert "generations" in refused[1]


def test_an_accessor_leads_to_its_token_and_to_no_other(world):
    """Unknown, empty and odd accessors lead nowhere."""
    raw_token = world.make()
    accessor = world.record(raw_token).accessor.decode()
    found = find_by_accessor(world.state, accessor, world.now_ns)

    assert found.key == world.keys.token_hash(raw_token)
    assert [find_by_accessor(world.state, odd, world.now_ns) for odd in ("", "x", "\u00e9", "\ud800")] == [None] * 4


def test_a_caller_is_the_token_without_the_token(world):
    """Engines see policies, accessor and rights, and nothing they could log in with."""
    raw_token = world.make({"policies": ["app"], "ttl": "1h", "meta": {"who": "me"}})
    view = find_raw(world.state, world.keys, raw_token, world.now_ns)
    caller = caller_of(view, world.now_ns)

    assert (caller.policies, caller.is_root, caller.has_sudo, caller.ttl_s) == (("app", "default"), False, False, 3600)
    assert raw_token not in repr((view, caller))
    assert caller_of(view, world.now_ns, has_sudo=True).has_sudo


def test_creating_under_a_fresh_key_touches_nothing_else(world):
    """Its facts carry their own hashes; a chosen id may have been asked for before, and touches everything."""
    world.make({"policies": ["app"]})
    fresh = world.plans[-1].draft.hashes
    world.make({"id": "chosen", "policies": ["app"]})

    assert (len(fresh), world.plans[-1].draft.hashes) == (2, ())


def test_a_root_token_for_init_and_generate_root_needs_no_parent(world):
    """The facts hold neither the raw token nor an end."""
    facts = tokens.root_token_records("hvs.x", world.keys, START_NS, world.random)

    assert [table for table, _, _ in facts] == [Table.TOKEN, Table.ACCESSOR]
    assert (facts[0][2].policies, facts[0][2].expires_ns, facts[0][2].parent) == (["root"], 0, None)
    assert all(b"hvs.x" not in key for _, key, _ in facts)


def _token_draft(world: World, raw_token: str, record: Token) -> Draft:
    draft = Draft()
    draft.put(Table.TOKEN, world.keys.token_hash(raw_token), record)
    return draft
