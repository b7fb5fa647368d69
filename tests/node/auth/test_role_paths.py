"""Roles of the methods that believe others: what their paths have in common, and where they differ."""

from __future__ import annotations

import pytest

from node.auth.cert.engine import CertEngine
from node.auth.jwt.engine import JwtEngine
from node.auth.kubernetes.engine import KubernetesEngine
from tests.node.auth.outside import OutsideWorld, certify

NAMED = {"bound_service_account_names": "a", "bound_service_account_namespaces": "b"}
KINDS = [
    ("auth/cert/", "certs/", CertEngine(), {"certificate": certify("root", authority=True).pem}, True),
    ("auth/kubernetes/", "role/", KubernetesEngine(), NAMED, True),
    ("auth/jwt/", "role/", JwtEngine(), {"role_type": "jwt", "user_claim": "sub", "bound_subject": "x"}, False),
]
each_kind = pytest.mark.parametrize(("mount", "segment", "engine", "body", "folds"), KINDS)


@each_kind
def test_a_write_changes_what_is_given_or_nothing(mount, segment, engine, body, folds):
    """The same again proposes nothing; one field leaves the others."""
    world, path = OutsideWorld(), f"{mount}{segment}web"
    world.ask("update", path, {**body, "token_policies": "p", "token_ttl": "1h"})
    before = world.data("read", path)
    world.ask("update", path, {"token_ttl": "1h"})
    assert world.plans[-1].draft.empty
    world.ask("update", path, {"token_ttl": "2h"})
    assert not world.plans[-1].draft.empty
    assert world.data("read", path) == {**before, "token_ttl": 7_200}
    world.ask("delete", path)
    assert world.refused("read", path)[0] == 404
    world.ask("delete", path)
    assert world.plans[-1].draft.empty


@each_kind
def test_names_are_one_in_lower_case_where_the_method_says_so(mount, segment, engine, body, folds):
    """For reading, writing, listing, and for whether a write creates."""
    world = OutsideWorld()
    world.ask("update", f"{mount}{segment}Web", body)
    context, other = world.context(f"{mount}{segment}web"), f"{mount}{segment}web"
    assert world.data("list", f"{mount}{segment}") == {"keys": ["web" if folds else "Web"]}
    assert engine.exists(context, f"{segment}Web") is True
    assert engine.exists(context, f"{segment}web") is folds
    assert engine.exists(context, f"{segment}nobody") is False
    assert engine.exists(context, "config") is engine.exists(context, f"{segment}-") is None
    if folds:
        assert world.data("read", other)
    else:
        assert world.refused("read", other)[0] == 404


@each_kind
def test_roles_are_listed_page_by_page(mount, segment, engine, body, folds):
    """Behind a name, and no more than asked for; 404 where there is nothing."""
    world = OutsideWorld()
    assert world.refused("list", f"{mount}{segment}")[0] == 404
    for name in ("a", "b", "c"):
        world.ask("update", f"{mount}{segment}{name}", body)
    assert world.data("list", f"{mount}{segment}", query={"after": "a", "limit": "1"}) == {"keys": ["b"]}
    assert world.refused("list", f"{mount}{segment}", query={"after": "c"})[0] == 404
