"""Revoking: one fact, at once, whatever hangs below."""

import pytest

from cluster import Accessor, Draft, Table, Token, records
from node.auth import token_revoke
from node.auth.tokens import ORPHANER
from tests.node.auth.world import START_NS, World

REVOKE = "auth/token/revoke"


@pytest.fixture
def world() -> World:
    world = World()
    world.policy("app", 'path "auth/token/*" { capabilities = ["update"] }')
    return world


@pytest.mark.parametrize("way", ["token", "self", "accessor"])
def test_every_way_to_revoke(world, way):
    """204, and the token, its child and its grandchild are nobody from that index on."""
    line = [world.make({"policies": ["app"]})]
    line += [world.make(token=line[0])]
    line += [world.make(token=line[1])]
    other = world.make({"policies": ["app"]})
    accessor = world.record(line[0]).accessor.decode()
    answer = {
        "token": lambda: world.ask("update", REVOKE, {"token": line[0]}),
        "self": lambda: world.ask("update", "auth/token/revoke-self", {}, token=line[0]),
        "accessor": lambda: world.ask("update", "auth/token/revoke-accessor", {"accessor": accessor}),
    }[way]()

    assert answer.empty
    assert [world.works(raw) for raw in [*line, other]] == [False, False, False, True]


def test_the_fact_is_small_and_the_sweep_removes_the_rest(world):
    """Token, accessor and the order to sweep, for 1,500 descendants; afterwards nothing of the tree is left."""
    parent = world.make({"policies": ["app"]})
    before = (world.count(Table.TOKEN), world.count(Table.ACCESSOR))
    _plant_children(world, parent, 1_500)
    world.ask("update", REVOKE, {"token": parent})
    draft = world.plans[-1].draft
    steps = world.sweep()

    assert (len(draft.puts), len(draft.drops), draft.hashes) == (1, 2, ())
    assert steps > 1
    assert (world.count(Table.TOKEN), world.count(Table.ACCESSOR)) == (before[0] - 1, before[1] - 1)
    assert world.count(Table.SWEEP) == 0


def test_a_childless_token_leaves_nothing_to_sweep(world):
    """The twin: no order to sweep."""
    raw_token = world.make({"policies": ["app"]})
    world.ask("update", REVOKE, {"token": raw_token})

    assert world.plans[-1].draft.puts == []
    assert world.count(Table.SWEEP) == 0


@pytest.mark.parametrize("raw", ["s.bad", "REVOKED", "EXPIRED"])
def test_revoking_what_is_not_there_is_no_error(world, raw):
    """204 and nothing proposed."""
    named = {"REVOKED": world.make({"policies": ["app"]}), "EXPIRED": world.make({"policies": ["app"], "ttl": "1s"})}
    world.ask("update", REVOKE, {"token": named["REVOKED"]})
    world.pass_time(2)
    answer = world.ask("update", REVOKE, {"token": named.get(raw, raw)})

    assert answer.empty
    assert world.plans[-1].draft.empty


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        (REVOKE, {}, (400, "missing token ID", False)),
        ("auth/token/revoke-orphan", {}, (400, "missing token ID", False)),
        ("auth/token/revoke-orphan", {"token": "s.bad"}, (400, "token to revoke not found", False)),
        ("auth/token/revoke-accessor", {}, (400, "missing accessor", True)),
    ],
)
def test_refusals(world, path, body, expected):
    """In Vault's words."""
    assert world.refused("update", path, body) == expected


def test_an_unknown_accessor_is_a_warning(world):
    """200, not 204, so that the warning can be seen."""
    answer = world.ask("update", "auth/token/revoke-accessor", {"accessor": "bad"})

    assert (answer.status, answer.warnings) == (200, ["No token found with this accessor"])


def test_a_revoked_token_cannot_revoke_itself_again(world):
    """It is nobody."""
    raw_token = world.make({"policies": ["app"]})
    world.ask("update", "auth/token/revoke-self", {}, token=raw_token)

    assert world.refused("update", "auth/token/revoke-self", {}, token=raw_token) == (403, "permission denied", False)


def test_revoke_orphan_needs_sudo(world):
    """A child with update alone cannot cut itself loose."""
    parent = world.make({"policies": ["app"]})
    child = world.make(token=parent)

    denied = world.refused("update", "auth/token/revoke-orphan", {"token": parent}, token=child)

    assert denied == (403, "permission denied", True)
    assert world.works(parent)


@pytest.mark.parametrize("children", [0, 3, token_revoke.ORPHANS_MAX, token_revoke.ORPHANS_MAX + 1])
def test_revoke_orphan_ends_the_token_alone(world, children):
    """Its children live on as orphans, however many; grandchildren stay below their parents."""
    parent = world.make({"policies": ["app"]})
    raw_children = _plant_children(world, parent, children)
    grandchild = world.make(token=raw_children[0]) if children else None
    world.ask("update", "auth/token/revoke-orphan", {"token": parent})
    draft = world.plans[-1].draft
    world.sweep()

    assert len(draft.puts) + len(draft.drops) <= 1000
    assert not world.works(parent)
    assert all(world.works(raw) for raw in raw_children)
    assert world.count(Table.SWEEP) == 0
    if grandchild is not None:
        assert world.data("read", "auth/token/lookup-self", token=raw_children[-1])["orphan"] is True
        assert world.data("read", "auth/token/lookup-self", token=grandchild)["orphan"] is False
        world.ask("update", REVOKE, {"token": raw_children[0]})
        assert not world.works(grandchild)


def test_children_whose_records_are_large_are_cut_off_by_what_stays(world, monkeypatch):
    """The bytes of a transaction are bounded, too; what stays of the parent is valid for nobody, its id taken."""
    monkeypatch.setattr(token_revoke, "ORPHANS_BYTES_MAX", 100)
    world.make({"id": "large", "policies": ["app"]})
    child = world.make({"meta": {"k": "v" * 200}}, token="large")
    world.ask("update", "auth/token/revoke-orphan", {"token": "large"})
    left = world.record("large")

    assert (left.type, left.policies, left.accessor) == (ORPHANER, [], b"")
    assert (world.works("large"), world.works(child)) == (False, True)
    assert world.refused("update", "auth/token/create", {"id": "large"})[1].endswith("duplicate ID")
    assert world.ask("update", REVOKE, {"token": "large"}).empty
    assert world.works(child)


def test_a_token_may_revoke_another_one_only_by_its_value_or_accessor(world):
    """Which other tokens exist is not told: unknown ones are as good as revoked ones."""
    caller = world.make({"policies": ["app"]})
    victim = world.make({"policies": ["app"]})
    world.ask("update", REVOKE, {"token": victim + "x"}, token=caller)

    assert world.works(victim)


def test_unknown_fields_of_children_survive_becoming_orphans(world):
    """A record written by a newer program keeps what this one does not know."""
    parent = world.make({"policies": ["app"]})
    child = world.make(token=parent)
    key = world.keys.token_hash(child)
    stored = records._plain.decode(world.state.get(Table.TOKEN, key)[1])
    draft = Draft()
    draft.put(Table.TOKEN, key, records.encode([*stored, "new"]))
    world.apply(draft)
    world.ask("update", "auth/token/revoke-orphan", {"token": parent})
    after = records._plain.decode(world.state.get(Table.TOKEN, key)[1])

    assert after[-1] == "new"


def _plant_children(world: World, parent: str, count: int) -> list[str]:
    """Children as creating them leaves them, in transactions of 400."""
    parent_key = world.keys.token_hash(parent)
    names = [f"child-{number}" for number in range(count)]
    for start in range(0, count, 400):
        draft = Draft()
        for name in names[start : start + 400]:
            accessor, key = f"accessor-{name}".encode(), world.keys.token_hash(name)
            record = Token(accessor=accessor, parent=parent_key, policies=["app", "default"], created_ns=START_NS)
            draft.put(Table.TOKEN, key, record)
            draft.put(Table.ACCESSOR, accessor, Accessor(token=key))
        world.apply(draft)
    return names
