"""Templates in paths: values go in, shapes stay, and what has no value drops its stanza."""

from __future__ import annotations

import pytest

from node.policy import Acl, Alias, Group, Identity, expand, parse_policy
from node.policy.templates import TemplateError, is_templated

ALICE = Identity(
    id="e-1",
    name="alice",
    metadata={"team": "red", "empty": "", "dotted.key": "d"},
    aliases=(Alias("approle_1", "a-1", "role", {"env": "prod"}, {"cost": "c9"}),),
    groups=(Group("g-1", "admins", {"floor": "3"}), Group("g-2", "")),
)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("plain/*", "plain/*"),
        ("s/{{identity.entity.id}}/*", "s/e-1/*"),
        ("s/{{ identity.entity.name }}", "s/alice"),
        ("{{identity.entity.id}}/{{identity.entity.name}}/x", "e-1/alice/x"),
        ("s/{{identity.entity.metadata.team}}", "s/red"),
        ("s/{{identity.entity.metadata.dotted.key}}", "s/d"),
        ("s/{{identity.entity.aliases.approle_1.id}}", "s/a-1"),
        ("s/{{identity.entity.aliases.approle_1.name}}", "s/role"),
        ("s/{{identity.entity.aliases.approle_1.metadata.env}}", "s/prod"),
        ("s/{{identity.entity.aliases.approle_1.custom_metadata.cost}}", "s/c9"),
        ("s/{{identity.groups.ids.g-1.name}}", "s/admins"),
        ("s/{{identity.groups.names.admins.id}}", "s/g-1"),
        ("s/{{identity.groups.names.admins.metadata.floor}}", "s/3"),
        ("s/{{identity.entity.metadata.none}}", None),
        ("s/{{identity.entity.metadata.empty}}", None),
        ("s/{{identity.entity.metadata}}", None),
        ("s/{{identity.entity.groups.names}}", None),
        ("s/{{identity.entity.groups.ids}}", None),
        ("s/{{identity.entity.nothing}}", None),
        ("s/{{identity.entity}}", None),
        ("s/{{identity.entity.aliases.none.name}}", None),
        ("s/{{identity.entity.aliases.approle_1.nothing}}", None),
        ("s/{{identity.groups.ids.none.name}}", None),
        ("s/{{identity.groups.ids.g-2.name}}", None),
        ("s/{{identity.groups.names..id}}", None),
        ("s/{{identity.groups.ids.g-1.nothing}}", None),
        ("s/{{identity.groups.others.g-1.name}}", None),
        ("s/{{identity.nothing}}", None),
        ("s/{{nothing}}", None),
        ("s/{{}}", None),
        ("s/{{time.now}}", None),
    ],
)
def test_a_directive_is_replaced_or_drops_the_stanza(path: str, expected: str | None) -> None:
    """None stands for a dropped stanza."""
    assert expected == expand(path, ALICE)


@pytest.mark.parametrize("path", ["s/{{identity.entity.id}}", "s/{{identity.groups.ids.g-1.name}}"])
def test_without_an_identity_every_directive_drops_its_stanza(path: str) -> None:
    """A token without an entity gets nothing from templates, and keeps its plain paths."""
    assert None is expand(path, None)
    assert expand("plain", None) == "plain"


@pytest.mark.parametrize("value", ["*", "a*", "+", "a/b", "/", "a+b", ""])
def test_a_value_that_would_change_the_shape_of_the_path_drops_the_stanza(value: str) -> None:
    """GHSA-59w7-v8rr-pr4p: an entity named `*` must not own every path, nor `a/b` reach another level."""
    identity = Identity(
        id=value,
        name=value,
        metadata={"k": value},
        aliases=(Alias("m", value, value, {"k": value}, {"k": value}),),
        groups=(Group("g", value, {"k": value}), Group(value, "named")),
    )
    for selector in (
        "entity.id",
        "entity.name",
        "entity.metadata.k",
        "entity.aliases.m.id",
        "entity.aliases.m.name",
        "entity.aliases.m.metadata.k",
        "entity.aliases.m.custom_metadata.k",
        "groups.ids.g.name",
        "groups.ids.g.metadata.k",
        "groups.names.named.id",
    ):
        assert None is expand(f"s/{{{{identity.{selector}}}}}/x", identity)


def test_a_value_is_never_read_for_directives() -> None:
    """A name that looks like a directive stays a name."""
    identity = Identity(id="e", name="{{identity.entity.id}}")

    assert expand("s/{{identity.entity.name}}", identity) == "s/{{identity.entity.id}}"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("{{time.now}}", "1000000"),
        ("{{time.now.plus.1h}}", "1003600"),
        ("{{time.now.minus.10}}", "999990"),
        ("{{time.now.plus}}", None),
        ("{{time.now.times.2}}", None),
        ("{{time.then}}", None),
    ],
)
def test_the_time_is_the_one_given(path: str, expected: str | None) -> None:
    """Seconds since 1970, moved by a duration."""
    assert expected == expand(path, None, now_s=1_000_000)


@pytest.mark.parametrize("path", ["{{a", "a}}", "{{a}}}}", "{{a {{b}}", "}}{{"])
def test_braces_that_do_not_pair_are_an_error(path: str) -> None:
    """A stanza its author cannot have meant is refused when it is written."""
    with pytest.raises(TemplateError):
        is_templated(path)


def test_a_templated_rule_is_compiled_for_one_identity() -> None:
    """Alice reads her own folder, nobody else's; a token without an entity reads none."""
    documents = [("own", parse_policy('path "kv/{{identity.entity.name}}/*" { capabilities = ["read"] }'))]

    assert Acl.compile(documents, ALICE).check("read", "kv/alice/x").allowed
    assert not Acl.compile(documents, ALICE).check("read", "kv/bob/x").allowed
    assert not Acl.compile(documents).check("read", "kv/alice/x").allowed


def test_an_expanded_path_merges_with_the_same_path_written_out() -> None:
    """Merging is per string after expansion: a deny written out holds for the templated grant."""
    documents = [
        ("own", parse_policy('path "kv/{{identity.entity.name}}" { capabilities = ["read"] }')),
        ("not", parse_policy('path "kv/alice" { capabilities = ["deny"] }')),
    ]

    assert not Acl.compile(documents, ALICE).check("read", "kv/alice").allowed
    assert Acl.compile(documents[:1], ALICE).check("read", "kv/alice").allowed
