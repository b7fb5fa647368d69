"""The groups of figures that ask policies, log in and encrypt: what they ask is what they say."""

from __future__ import annotations

import pytest

from bench import __main__ as main
from bench import large, logins, policies, transit
from bench.nodes import POLICY
from bench.options import GROUPS, QUICK, WHOLE
from bench.posts import Post
from node.policy import Acl, parse_policy


@pytest.mark.parametrize("kind", sorted(policies.KINDS))
def test_as_many_rules_are_compiled_as_the_line_says(kind):
    """Beside those of the standard policy; and each kind of rule is found, and is not found, where it should be."""
    pattern = policies.KINDS[kind]
    documents = policies.documents_of(pattern, 300)
    acl = Acl.compile(documents)

    assert sum(len(document.rules) for name, document in documents if name != "default") == 300
    assert policies.decision_us(acl, pattern, 300) > 0
    assert policies.decision_us(acl, pattern, 0) > 0


def test_a_policy_that_says_something_else_is_not_measured():
    """A decision that is fast because it is wrong is no figure."""
    acl = Acl.compile(policies.documents_of(policies.KINDS["plus"], 10))

    with pytest.raises(AssertionError):
        policies.decision_us(acl, policies.KINDS["prefix"], 10)


@pytest.mark.parametrize("sizes", [QUICK, WHOLE])
def test_the_fewest_rules_are_the_yardstick_of_the_others(sizes, tmp_path):
    """The targets are named by lines that are printed."""
    small = [figure.name for figure in policies.measure(sizes, tmp_path)]

    assert {f"policy decision, {kind}, 1,000 rules" for kind in policies.KINDS} <= set(small)
    assert len(small) == len(policies.KINDS) * len(sizes.rules)


def test_every_group_is_measured_by_something():
    """An option that measures nothing would say that all is well."""
    assert sorted(GROUPS) == sorted({*main.SIMPLE, *large.GROUPS})


def test_the_tokens_of_the_bench_may_do_what_is_measured_and_no_more():
    """Neither could write a policy."""
    for text, path in ((POLICY, "secret/data/x"), (transit.POLICY, "transit/encrypt/bench")):
        acl = Acl.compile([("bench", parse_policy(text))])
        assert acl.check("update", path).allowed
        assert not acl.check("update", "sys/policies/acl/x").allowed
        assert not acl.check("update", "transit/keys/bench").allowed


class FakeCluster:
    """Answers as a node does, and keeps what it was asked."""

    token = "t"

    def __init__(self):
        self.asked = []

    def root(self, method, path, body):
        self.asked.append((method, path, body))
        return {"data": {"role_id": "r", "secret_id": "planted", "ciphertext": "c"}}

    def make_token(self, name, policy):
        self.asked.append(("token", name, policy))


def test_a_login_shows_no_secret_id():
    """What is asked for may be printed by whoever looks for a mistake."""
    cluster = FakeCluster()
    post = logins.login(cluster, "batch")

    assert (post.path, post.body) == ("auth/bench-batch/login", {"role_id": "r", "secret_id": "planted"})
    assert "planted" not in repr(post)
    assert cluster.asked[1][2]["token_type"] == "batch"
    assert "planted" not in repr(Post("x", {}, "planted"))


def test_a_batch_counts_its_items():
    """A line per item and not per request."""
    cluster = FakeCluster()
    transit.make_key(cluster)
    found = {name: (len(post.body.get("batch_input", [0])), each) for name, post, each in transit.asked(cluster)}

    assert cluster.asked[-2][0] == "token"
    assert set(found.values()) == {(1, 1), (transit.BATCH, transit.BATCH)}
