"""What an entity and its groups add to a token, asked of the judge that nodes ask."""

from __future__ import annotations

import pytest

from cluster import Draft, Entity, Group, Table
from node import registry
from node.identity import keys, person
from node.identity.person import person_of
from tests.node.identity.people import DENIED, NOBODY, People

OWN = 'path "secret/data/{{identity.entity.name}}/*" { capabilities = ["read"] }'
APP = 'path "secret/data/app/*" { capabilities = ["read"] }'
PLACE = "secret/data/app/x"


@pytest.fixture
def world() -> People:
    world = People()
    world.policy("app", APP)
    return world


def give(world: People, entity_id: str, **fields: object) -> None:
    world.ask("update", f"identity/entity/id/{entity_id}", fields)


def test_policies_of_the_entity_count_and_those_of_another_do_not(world):
    """From the next request of a token that was there before, and no longer once they are taken."""
    alice, bob = world.sign_in("alice"), world.sign_in("bob")
    assert not world.may(alice["client_token"], "read", PLACE)

    give(world, alice["entity_id"], policies=["app"])
    assert world.may(alice["client_token"], "read", PLACE)
    assert not world.may(bob["client_token"], "read", PLACE)

    give(world, alice["entity_id"], policies=[])
    assert not world.may(alice["client_token"], "read", PLACE)


def test_a_change_of_the_policy_counts_for_whoever_has_it_by_identity(world):
    """Lists are kept per person: a written policy makes them anew."""
    alice = world.sign_in()
    give(world, alice["entity_id"], policies=["app"])
    assert world.may(alice["client_token"], "read", PLACE)

    world.policy("app", 'path "secret/data/other" { capabilities = ["read"] }')
    assert not world.may(alice["client_token"], "read", PLACE)
    assert world.may(alice["client_token"], "read", "secret/data/other")


def test_policies_of_groups_count_through_any_number_of_groups(world):
    """A member of a member has the outer group's policies; who is in the outer one alone has not the inner one's."""
    alice, bob = world.sign_in("alice"), world.sign_in("bob")
    world.policy("inner", 'path "secret/data/inner" { capabilities = ["read"] }')
    inner = world.new_group(policies="inner", member_entity_ids=[alice["entity_id"]])
    middle = world.new_group(member_group_ids=[inner])
    outer = world.new_group(policies="app", member_group_ids=[middle], member_entity_ids=[bob["entity_id"]])

    assert [world.may(who["client_token"], "read", PLACE) for who in (alice, bob)] == [True, True]
    assert [world.may(who["client_token"], "read", "secret/data/inner") for who in (alice, bob)] == [True, False]

    world.ask("update", f"identity/group/id/{middle}", {"member_group_ids": []})
    assert [world.may(who["client_token"], "read", PLACE) for who in (alice, bob)] == [False, True]
    world.ask("update", f"identity/group/id/{outer}", {"member_entity_ids": ""})
    assert [world.may(who["client_token"], "read", PLACE) for who in (alice, bob)] == [False, False]


def test_what_a_group_grants_ends_with_the_next_request_after_it_changed(world):
    """By another policy, and by its deletion."""
    alice = world.sign_in()
    group = world.new_group(policies="app", member_entity_ids=[alice["entity_id"]])
    assert world.may(alice["client_token"], "read", PLACE)
    world.ask("update", f"identity/group/id/{group}", {"policies": "nothing"})
    assert not world.may(alice["client_token"], "read", PLACE)
    world.ask("update", f"identity/group/id/{group}", {"policies": "app"})
    assert world.may(alice["client_token"], "read", PLACE)
    world.ask("delete", f"identity/group/id/{group}")
    assert not world.may(alice["client_token"], "read", PLACE)


@pytest.mark.parametrize(
    ("operation", "path", "body"),
    [
        ("delete", "identity/entity/id/ID", None),
        ("delete", "identity/entity/name/NAME", None),
        ("update", "identity/entity/batch-delete", {"entity_ids": ["ID"]}),
        ("update", "identity/entity/id/ID", {"disabled": True}),
    ],
)
def test_tokens_of_an_entity_that_is_gone_or_disabled_may_nothing_at_once(world, operation, path, body):
    """Not even look at themselves; a child of the token neither; the token of another goes on."""
    alice, bob = world.sign_in("alice"), world.sign_in("bob")
    entity_id = alice["entity_id"]
    name = world.entity(entity_id).name
    world.policy("maker", 'path "auth/token/create" { capabilities = ["update"] }')
    give(world, entity_id, policies="maker")
    child = world.go("update", "auth/token/create", {}, token=alice["client_token"]).auth["client_token"]
    assert world.go("read", "auth/token/lookup-self", token=child).data["entity_id"] == entity_id

    asked = {name: [entity_id] for name in body} if body and "entity_ids" in body else body
    world.ask(operation, path.replace("ID", entity_id).replace("NAME", name), asked)

    for token in (alice["client_token"], child):
        assert world.no("read", "auth/token/lookup-self", token=token) == NOBODY
        assert not world.may(token, "read", "auth/token/lookup-self")
    assert world.go("read", "auth/token/lookup-self", token=bob["client_token"]).data["entity_id"]


def test_a_disabled_entity_comes_back_with_its_tokens(world):
    """They were not revoked."""
    alice = world.sign_in()
    give(world, alice["entity_id"], disabled=True)
    assert world.no("read", "auth/token/lookup-self", token=alice["client_token"]) == NOBODY
    give(world, alice["entity_id"], disabled=False)
    assert world.go("read", "auth/token/lookup-self", token=alice["client_token"]).data["entity_id"]


def test_without_a_token_needed_a_token_of_nobody_shows_nothing(world):
    """To a path that is open it is what a wrong token is."""
    alice = world.sign_in()
    give(world, alice["entity_id"], policies="app")
    path = "sys/internal/ui/mounts"
    assert "secret/" in world.go("read", path, token=alice["client_token"]).data["secret"]
    give(world, alice["entity_id"], disabled=True)
    assert world.no("read", path, token=alice["client_token"]) == world.no("read", path, token="wrong") == NOBODY


def test_default_lets_everybody_read_their_own_entity_and_no_other(world):
    """By id and by name; also after it was renamed, under the new name alone."""
    alice, bob = world.sign_in("alice"), world.sign_in("bob")
    token, entity_id = alice["client_token"], alice["entity_id"]
    name = world.entity(entity_id).name
    other = world.entity(bob["entity_id"])

    assert world.go("read", f"identity/entity/id/{entity_id}", token=token).data["name"] == name
    assert world.go("read", f"identity/entity/name/{name}", token=token).data["id"] == entity_id
    assert world.no("read", f"identity/entity/id/{other.id}", token=token) == DENIED
    assert world.no("read", f"identity/entity/name/{other.name}", token=token) == DENIED
    assert world.no("update", f"identity/entity/id/{entity_id}", {"policies": "app"}, token=token) == DENIED

    give(world, entity_id, name="alice")
    assert world.go("read", "identity/entity/name/alice", token=token).data["id"] == entity_id
    assert world.no("read", f"identity/entity/name/{name}", token=token) == DENIED


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("{{identity.entity.id}}", "ID"),
        ("{{identity.entity.name}}", "alice"),
        ("{{identity.entity.metadata.team}}", "red"),
        ("{{identity.entity.aliases.ACCESSOR.id}}", "ALIAS"),
        ("{{identity.entity.aliases.ACCESSOR.name}}", "alice"),
        ("{{identity.entity.aliases.ACCESSOR.custom_metadata.floor}}", "2nd"),
        ("{{identity.groups.names.staff.id}}", "GROUP"),
        ("{{identity.groups.ids.GROUP.name}}", "staff"),
        ("{{identity.groups.names.staff.metadata.site}}", "north"),
        ("{{identity.groups.names.above.id}}", "ABOVE"),
    ],
)
def test_templates_are_filled_in_from_the_records(world, template, path):
    """For the person whose they are, and for nobody else."""
    alice, bob = world.sign_in("alice"), world.sign_in("bob")
    give(world, alice["entity_id"], name="alice", metadata={"team": "red"})
    alias = world.data("read", f"identity/entity/id/{alice['entity_id']}")["aliases"][0]["id"]
    world.ask("update", f"identity/entity-alias/id/{alias}", {"custom_metadata": {"floor": "2nd"}})
    group = world.new_group(name="staff", member_entity_ids=alice["entity_id"], metadata={"site": "north"})
    above = world.new_group(name="above", member_group_ids=group)
    words = {"ID": alice["entity_id"], "ACCESSOR": world.accessor(), "ALIAS": alias, "GROUP": group, "ABOVE": above}
    for word, value in words.items():
        template, path = template.replace(word, value), path.replace(word, value)
    world.policy("own", f'path "secret/data/{template}/x" {{ capabilities = ["read"] }}')
    for who in (alice, bob):
        give(world, who["entity_id"], policies="own")

    assert world.may(alice["client_token"], "read", f"secret/data/{path}/x")
    assert not world.may(alice["client_token"], "read", "secret/data/else/x")
    assert not world.may(bob["client_token"], "read", f"secret/data/{path}/x")


@pytest.mark.parametrize("name", ["*", "a*", "+", "a/b", "+/x", "*/"])
def test_a_name_that_would_change_the_shape_of_a_path_drops_the_stanza(world, name):
    """An entity called `*` does not own every path; what else the policy says still counts."""
    alice = world.sign_in()
    world.policy("own", f'{OWN}\npath "secret/data/plain" {{ capabilities = ["read"] }}')
    give(world, alice["entity_id"], policies="own", name="alice")
    assert world.may(alice["client_token"], "read", "secret/data/alice/x")

    give(world, alice["entity_id"], name=name)
    assert world.entity(alice["entity_id"]).name == name
    assert world.may(alice["client_token"], "read", "secret/data/plain")
    for path in ("secret/data/alice/x", "secret/data/bob/x", f"secret/data/{name}/x", "secret/data/a/b/x"):
        assert not world.may(alice["client_token"], "read", path)


def test_a_token_without_an_entity_has_no_stanza_with_templates(world):
    """Root makes one that belongs to nobody."""
    world.policy("own", f"{OWN}\n{APP}")
    token = world.make({"policies": ["own"]})
    assert world.may(token, "read", PLACE)
    assert not world.may(token, "read", "secret/data//x")


@pytest.mark.parametrize("names", ["root", " Root ", "ROOT", ["app", "\troot"]])
@pytest.mark.parametrize("what", ["entity", "group"])
def test_root_is_refused_however_it_is_spelt(world, what, names):
    """Names are trimmed and lower-cased before they are compared (CVE-2025-54996)."""
    body = {"policies": names}
    assert world.no("update", f"identity/{what}", body) == (400, "policies cannot contain root", False)
    made = world.data("update", f"identity/{what}", {"name": "x", "policies": [" App ", "app"]})["id"]
    assert world.no("update", f"identity/{what}/id/{made}", body)[:2] == (400, "policies cannot contain root")
    assert world.data("read", f"identity/{what}/id/{made}")["policies"] == ["app"]


def test_even_a_record_that_names_root_makes_nobody_root(world):
    """P2: whatever wrote it."""
    alice = world.sign_in()
    entity = world.entity(alice["entity_id"])
    entity.policies, entity.group_ids = ["root"], ["g"]
    draft = Draft()
    draft.put(Table.IDENTITY, keys.entity(entity.id), entity)
    draft.put(Table.IDENTITY, keys.group("g"), Group(id="g", policies=["ROOT ", "app"]))
    world.apply(draft)

    assert person_of(world.state, entity.id).policies == ("app",)
    assert world.may(alice["client_token"], "read", PLACE)
    assert not world.may(alice["client_token"], "read", "secret/data/else")
    assert world.no("read", "sys/policies/acl/default", token=alice["client_token"]) == DENIED


@pytest.mark.parametrize("record", [b"\xc1", b"", b"\x91\xa1x"])
@pytest.mark.parametrize("key", [keys.entity, lambda _: keys.group("g")])
def test_a_record_that_cannot_be_read_makes_its_owner_nobody(world, key, record):
    """Fail closed: what it denies cannot be known."""
    alice = world.sign_in()
    entity = world.entity(alice["entity_id"])
    entity.group_ids = ["g"]
    draft = Draft()
    draft.put(Table.IDENTITY, keys.entity(entity.id), entity)
    draft.put(Table.IDENTITY, key(entity.id), record)
    world.apply(draft)

    assert world.no("read", "auth/token/lookup-self", token=alice["client_token"]) == NOBODY


def test_groups_in_a_circle_end(world):
    """The paths refuse to make one; if one stands there, it is walked once."""
    draft = Draft()
    draft.put(Table.IDENTITY, keys.entity("e"), Entity(id="e", group_ids=["a"]))
    for name, other in (("a", "b"), ("b", "a")):
        group = Group(id=name, policies=[f"p{name}"], parent_ids=[other])
        draft.put(Table.IDENTITY, keys.group(name), group)
    world.apply(draft)
    assert person_of(world.state, "e").policies == ("pa", "pb")


def test_who_is_in_more_groups_than_can_be_added_up_is_nobody(world, monkeypatch):
    """P4; at the bound everything counts."""
    draft = Draft()
    names = ["a", "b", "c"]
    draft.put(Table.IDENTITY, keys.entity("e"), Entity(id="e", group_ids=names))
    for name in names:
        draft.put(Table.IDENTITY, keys.group(name), Group(id=name, policies=[name]))
    world.apply(draft)
    monkeypatch.setattr(person, "GROUPS_MAX", 3)
    assert person_of(world.state, "e").policies == ("a", "b", "c")
    monkeypatch.setattr(person, "GROUPS_MAX", 2)
    assert person_of(world.state, "e") is None


def test_the_cache_gives_the_same_person_until_a_record_changes(world):
    """And never one of another state: a proposal that was lost has the same index as what took its place."""
    alice = world.sign_in()
    cache: person.PersonCache = {}
    before = person_of(world.state, alice["entity_id"], cache)
    assert person_of(world.state, alice["entity_id"], cache) is before

    group = world.new_group(policies="app", member_entity_ids=alice["entity_id"])
    after = person_of(world.state, alice["entity_id"], cache)
    assert (before.policies, after.policies) == ((), ("app",))
    world.new_group(policies="else", member_group_ids=group)
    assert person_of(world.state, alice["entity_id"], cache).policies == ("app", "else")
    world.ask("delete", f"identity/entity/id/{alice['entity_id']}")
    assert person_of(world.state, alice["entity_id"], cache) is None


def test_the_cache_is_bounded(world, monkeypatch):
    """The one that stands in it longest makes room."""
    monkeypatch.setattr(person, "CACHED_MAX", 2)
    cache: person.PersonCache = {}
    people = [world.new_entity() for _ in range(3)]
    for entity_id in people:
        person_of(world.state, entity_id, cache)
    assert list(cache) == people[1:]


def test_a_change_of_identity_moves_the_epoch_and_of_a_secret_does_not(world):
    """Whoever waited for a state looks again."""
    before = world.registry.epoch
    world.new_entity()
    assert world.registry.epoch == before + 2  # the entity and its name
    world.go("update", "secret/data/x", {"data": {}})
    assert world.registry.epoch == before + 2


def test_what_the_token_may_do_is_told_with_what_its_entity_adds(world):
    """By sys/capabilities in its three forms, by the resultant ACL, and by the mounts that are shown."""
    alice = world.sign_in()
    token, accessor = alice["client_token"], alice["accessor"]
    give(world, alice["entity_id"], policies="app")
    body = {"paths": [PLACE]}
    told = [
        world.go("update", "sys/capabilities-self", body, token=token),
        world.go("update", "sys/capabilities", body | {"token": token}),
        world.go("update", "sys/capabilities-accessor", body | {"accessor": accessor}),
    ]
    assert [answer.data["capabilities"] for answer in told] == [["read"]] * 3
    resultant = world.go("read", "sys/internal/ui/resultant-acl", token=token).data
    assert "secret/data/app/" in resultant["glob_paths"]
    assert f"identity/entity/id/{alice['entity_id']}" in resultant["exact_paths"]

    give(world, alice["entity_id"], disabled=True)
    assert world.go("update", "sys/capabilities", body | {"token": token}).data["capabilities"] == ["deny"]


def test_a_look_at_a_token_tells_its_policies_and_those_beside(world):
    """`policies` are the token's; what identity adds stands apart, and is absent where nothing is added."""
    alice = world.sign_in()
    assert "identity_policies" not in world.go("read", "auth/token/lookup-self", token=alice["client_token"]).data
    give(world, alice["entity_id"], policies=["app", "b"])
    data = world.go("read", "auth/token/lookup-self", token=alice["client_token"]).data

    assert (data["policies"], data["identity_policies"]) == (["default"], ["app", "b"])
    assert data["external_namespace_policies"] == {}
    assert data["entity_id"] == alice["entity_id"]
    renewed = world.go("update", "auth/token/renew-self", {}, token=alice["client_token"]).auth
    assert (renewed["policies"], renewed["token_policies"]) == (["app", "b", "default"], ["default"])
    assert renewed["identity_policies"] == ["app", "b"]


def test_a_child_has_its_parents_entity_and_an_orphan_has_none(world):
    """And only policies of the token itself can be given on."""
    world.policy("maker", 'path "auth/token/create*" { capabilities = ["update", "sudo"] }')
    alice = world.sign_in()
    give(world, alice["entity_id"], policies=["app", "maker"])
    made = world.go("update", "auth/token/create", {"policies": ["default"]}, token=alice["client_token"]).auth
    orphan = world.go("update", "auth/token/create-orphan", {"policies": []}, token=alice["client_token"]).auth

    assert (made["entity_id"], made["identity_policies"]) == (alice["entity_id"], ["app", "maker"])
    assert made["policies"] == ["app", "default", "maker"]
    assert (orphan["entity_id"], "identity_policies" in orphan) == ("", False)
    assert world.may(made["client_token"], "read", PLACE)
    assert not world.may(orphan["client_token"], "read", PLACE)


def test_a_template_that_names_a_plain_path_is_merged_with_it_for_its_person_alone(world):
    """Lists of people share what no template of theirs names: one person's rule never becomes another's."""
    alice, bob = world.sign_in("alice"), world.sign_in("bob")
    world.policy("plain", 'path "secret/data/alice" { capabilities = ["read"] }')
    world.policy("more", 'path "secret/data/{{identity.entity.name}}" { capabilities = ["delete"] }')
    world.policy("less", 'path "secret/data/{{identity.entity.metadata.denied}}" { capabilities = ["deny"] }')
    for who, name in ((alice, "alice"), (bob, "bob")):
        give(world, who["entity_id"], name=name, policies=["plain", "more", "less"])

    def allowed() -> list[tuple[bool, bool]]:
        tokens = [who["client_token"] for who in (alice, bob)]
        return [tuple(world.may(token, what, "secret/data/alice") for what in ("read", "delete")) for token in tokens]

    assert allowed() == [(True, True), (True, False)]
    give(world, bob["entity_id"], metadata={"denied": "alice"})
    assert allowed() == [(True, True), (False, False)]
    give(world, bob["entity_id"], metadata={})
    assert allowed() == [(True, True), (True, False)]


def test_with_a_policy_proposed_and_not_applied_the_same_is_decided_without_caches(world):
    """On the leader's overlay; also for a token that is root and has an entity."""
    alice = world.sign_in()
    world.policy("own", OWN)
    give(world, alice["entity_id"], policies="own", name="alice")
    somebody = person_of(world.state, alice["entity_id"])
    for names, path in ((("default",), "secret/data/alice/x"), (("root",), "secret/data/else")):
        for pending in (False, True):
            acl = world.registry.acl(world.state, names, somebody, pending=pending)
            assert acl.check("read", path).allowed
            assert acl.check("read", "secret/data/bob/x").allowed == ("root" in names)


def test_lists_of_people_are_bounded(world, monkeypatch):
    """The one that stands there longest makes room; rules of one set of policies are kept once."""
    monkeypatch.setattr(registry, "ACLS_MAX", 2)
    monkeypatch.setattr(registry, "RULES_MAX", 1)
    people = [person_of(world.state, world.new_entity()) for _ in range(3)]
    first = [world.registry.acl(world.state, ("default",), one) for one in people]
    assert world.registry.acl(world.state, ("default",), people[2]) is first[2]
    again = world.registry.acl(world.state, ("default",), people[0])
    assert again is not first[0]
    assert again.patterns() == first[0].patterns()
    other = world.registry.acl(world.state, ("response-wrapping",), people[0])
    assert list(other.patterns()) == ["cubbyhole/response", "sys/wrapping/unwrap"]
