"""From names of policies to what they allow."""

import pytest

from cluster import Draft, Policy, Table
from node.auth.access import acl_of, policy_text
from node.policy import Acl, builtin
from tests.node.auth.world import World


@pytest.fixture
def world() -> World:
    world = World()
    world.policy("reader", 'path "kv/*" { capabilities = ["read"] }')
    world.policy("denier", 'path "kv/*" { capabilities = ["deny"] }')
    return world


@pytest.mark.parametrize(
    ("names", "allowed"),
    [
        (["reader"], True),
        (["reader", "missing"], True),
        (["reader", "denier"], False),
        (["missing"], False),
        ([], False),
    ],
)
def test_named_policies_count_together(world, names, allowed):
    """One that does not exist grants nothing; deny wins."""
    assert acl_of(world.state, names).check("read", "kv/a").allowed == allowed


def test_root_is_everything_whatever_else_is_named(world):
    """It needs no record."""
    assert acl_of(world.state, ["denier", "root"]) is Acl.ROOT


def test_a_changed_policy_counts_from_its_index_on(world):
    """The memo of parsed texts is keyed by the text."""
    before = acl_of(world.state, ["reader"]).check("read", "kv/a").allowed
    world.policy("reader", 'path "other/*" { capabilities = ["read"] }')

    assert (before, acl_of(world.state, ["reader"]).check("read", "kv/a").allowed) == (True, False)


def test_a_stored_policy_that_cannot_be_read_denies_everything(world):
    """What it denies cannot be known, so nothing beside it is granted."""
    draft = Draft()
    draft.put(Table.POLICY, b"future", Policy(text="path {{{"))
    world.apply(draft)

    assert not acl_of(world.state, ["reader", "future"]).check("read", "kv/a").allowed


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("root", ""),
        ("response-wrapping", builtin.RESPONSE_WRAPPING_TEXT),
        ("default", builtin.DEFAULT_TEXT),
        ("no", None),
    ],
)
def test_texts_of_policies(world, name, text):
    """Built-in ones have no record, but default, which can be edited."""
    assert policy_text(world.state, name) == text
