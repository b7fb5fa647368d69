"""Conditions of a rule: parameters, wrapping bounds, pagination, and how they merge."""

from __future__ import annotations

from typing import Any

import pytest

from node.policy import Acl, parse_policy


def acl(*conditions: str) -> Acl:
    """One policy per set of conditions, all on the path `x` with every capability."""
    every = 'capabilities = ["create", "read", "update", "patch", "delete", "list", "scan"]'
    return Acl.compile(
        [(f"p{index}", parse_policy(f'path "x" {{ {every}\n{text} }}')) for index, text in enumerate(conditions)]
    )


_ALLOWED = 'allowed_parameters = { a = ["x*", "*y", "*z*", "exact", 1, 1.5, true, ["l"], { k = "v" }] }'


@pytest.mark.parametrize(
    ("conditions", "body", "allowed"),
    [
        # allowed: only the listed keys with the listed values
        (_ALLOWED, {}, True),
        (_ALLOWED, None, True),
        (_ALLOWED, {"a": "xq"}, True),
        (_ALLOWED, {"a": "qy"}, True),
        (_ALLOWED, {"a": "qzq"}, True),
        (_ALLOWED, {"a": "exact"}, True),
        (_ALLOWED, {"A": "exact"}, True),
        (_ALLOWED, {"a": "exact1"}, False),
        (_ALLOWED, {"a": ""}, False),
        (_ALLOWED, {"a": 1}, True),
        (_ALLOWED, {"a": 2}, False),
        (_ALLOWED, {"a": "1"}, False),
        (_ALLOWED, {"a": 1.5}, True),
        (_ALLOWED, {"a": True}, True),
        (_ALLOWED, {"a": False}, False),
        (_ALLOWED, {"a": None}, False),
        (_ALLOWED, {"a": ["l"]}, True),
        (_ALLOWED, {"a": ["m"]}, False),
        (_ALLOWED, {"a": ["l", "l"]}, False),
        (_ALLOWED, {"a": {"k": "v"}}, True),
        (_ALLOWED, {"a": {"k": "w"}}, False),
        (_ALLOWED, {"b": "exact"}, False),
        (_ALLOWED, {"a": "exact", "b": 1}, False),
        ("allowed_parameters = { a = [1] }", {"a": True}, False),  # Python's True == 1 must not count
        ("allowed_parameters = { a = [[1]] }", {"a": [True]}, False),
        ("allowed_parameters = { a = [] }", {"a": "anything"}, True),
        ("allowed_parameters = { a = [] }", {"b": "anything"}, False),
        ('allowed_parameters = { a = ["x"] "*" = [] }', {"b": 1}, True),
        ('allowed_parameters = { a = ["x"] "*" = [] }', {"a": "x", "b": 1}, True),
        ('allowed_parameters = { a = ["x"] "*" = [] }', {"a": "y"}, False),
        ('allowed_parameters = { "*" = [] }', {"b": 1}, True),
        ('allowed_parameters = { a = ["*"] }', {"a": "*"}, True),
        ('allowed_parameters = { a = ["*"] }', {"a": "b"}, False),
        ("allowed_parameters = { }", {"b": 1}, True),
        # denied: the listed keys, with the listed values
        ("denied_parameters = { }", {"b": 1}, True),
        ('denied_parameters = { "*" = [] }', {"b": 1}, False),
        ('denied_parameters = { "*" = [] }', {}, True),
        ('denied_parameters = { A = ["x"] B = [] }', {"a": "x"}, False),
        ('denied_parameters = { A = ["x"] B = [] }', {"A": "x"}, False),
        ('denied_parameters = { A = ["x"] B = [] }', {"a": "y"}, True),
        ('denied_parameters = { A = ["x"] B = [] }', {"b": 1}, False),
        ('denied_parameters = { A = ["x"] B = [] }', {"c": 1}, True),
        ("denied_parameters = { a = [1] }", {"a": 1}, False),
        ('denied_parameters = { a = ["*"] }', {"a": "b"}, False),
        ('denied_parameters = { a = ["*"] }', {"a": 1}, True),
        # denied is asked before allowed
        ('allowed_parameters = { a = ["x"] } denied_parameters = { a = ["x"] }', {"a": "x"}, False),
        ('allowed_parameters = { a = [] } denied_parameters = { a = ["x"] }', {"a": "y"}, True),
        # required: all of them, in lower case as they stand in the body
        ('required_parameters = ["a", "B"]', {"a": 1, "b": 1}, True),
        ('required_parameters = ["a", "B"]', {"A": 1, "B": 1}, False),
        ('required_parameters = ["a", "B"]', {"a": 1}, False),
        ('required_parameters = ["a", "B"]', {}, False),
        ('required_parameters = ["a", "B"]', None, False),
        ('required_parameters = ["a"]', {"a": None}, True),
    ],
)
def test_parameters_hold_or_the_request_is_refused(conditions: str, body: dict[str, Any] | None, allowed: bool) -> None:
    """For every operation that brings a body, and for the query of a read."""
    for operation in ("create", "update", "patch", "read"):
        assert allowed == acl(conditions).check(operation, "x", body=body).allowed


@pytest.mark.parametrize("operation", ["delete", "list", "scan"])
def test_parameters_do_not_concern_other_operations(operation: str) -> None:
    """A required parameter does not stop a delete or a list."""
    conditions = 'required_parameters = ["a"] denied_parameters = { "*" = [] }'

    assert acl(conditions).check(operation, "x", body={"b": 1}).allowed


@pytest.mark.parametrize(
    ("conditions", "wrap_ttl_s", "allowed"),
    [
        ("min_wrapping_ttl = 10 max_wrapping_ttl = 20", None, False),
        ("min_wrapping_ttl = 10 max_wrapping_ttl = 20", 9, False),
        ("min_wrapping_ttl = 10 max_wrapping_ttl = 20", 10, True),
        ("min_wrapping_ttl = 10 max_wrapping_ttl = 20", 20, True),
        ("min_wrapping_ttl = 10 max_wrapping_ttl = 20", 21, False),
        ("min_wrapping_ttl = 10", 1000, True),
        ("min_wrapping_ttl = 10", None, False),
        ("max_wrapping_ttl = 20", 1, True),
        ("max_wrapping_ttl = 20", None, False),
        ("min_wrapping_ttl = 0 max_wrapping_ttl = 0", None, True),
    ],
)
def test_wrapping_bounds_demand_wrapping(conditions: str, wrap_ttl_s: int | None, allowed: bool) -> None:
    """If either bound is set the answer must be wrapped, within the bounds; for every operation."""
    for operation in ("read", "update", "delete", "list"):
        assert allowed == acl(conditions).check(operation, "x", wrap_ttl_s=wrap_ttl_s).allowed


def test_merged_wrapping_bounds_take_the_smaller_that_is_set() -> None:
    """The shortest life wins; bounds that contradict each other let nothing pass."""
    merged = acl("max_wrapping_ttl = 20", "max_wrapping_ttl = 10", "")

    assert merged.check("read", "x", wrap_ttl_s=10).allowed
    assert not merged.check("read", "x", wrap_ttl_s=11).allowed
    assert not merged.check("read", "x").allowed
    contradicting = acl("min_wrapping_ttl = 30 max_wrapping_ttl = 40", "max_wrapping_ttl = 10")
    assert not any(contradicting.check("read", "x", wrap_ttl_s=ttl_s).allowed for ttl_s in (5, 10, 20, 30, 40))


@pytest.mark.parametrize(
    ("one", "two", "body", "allowed"),
    [
        ('allowed_parameters = { a = ["x"] }', 'allowed_parameters = { a = ["y"] b = [] }', {"a": "y", "b": 1}, True),
        ('allowed_parameters = { a = ["x"] }', 'allowed_parameters = { a = ["y"] b = [] }', {"a": "z"}, False),
        ('allowed_parameters = { a = ["x"] }', "allowed_parameters = { a = [] }", {"a": "z"}, True),
        ('allowed_parameters = { a = ["x"] }', "", {"b": 1}, False),
        ('denied_parameters = { a = ["x"] }', "denied_parameters = { a = [] }", {"a": "y"}, False),
        ('denied_parameters = { a = ["x"] }', "denied_parameters = { b = [] }", {"b": 1}, False),
        ('denied_parameters = { a = ["x"] }', "denied_parameters = { b = [] }", {"a": "y"}, True),
        ('required_parameters = ["a"]', 'required_parameters = ["b"]', {"a": 1}, False),
        ('required_parameters = ["a"]', 'required_parameters = ["b"]', {"a": 1, "b": 1}, True),
    ],
)
def test_parameters_of_two_policies_are_joined(one: str, two: str, body: dict[str, Any], allowed: bool) -> None:
    """Per key; a key with any value wins; one policy's restriction restricts the string, in either order."""
    assert allowed == acl(one, two).check("update", "x", body=body).allowed
    assert allowed == acl(two, one).check("update", "x", body=body).allowed


@pytest.mark.parametrize(
    ("query", "allowed"),
    [
        ({}, True),
        ({"limit": "1"}, True),
        ({"limit": 5}, True),
        ({"limit": "max"}, True),
        ({"limit": "6"}, False),
        ({"limit": "0"}, False),  # everything
        ({"limit": "-1"}, False),
        ({"limit": "x"}, False),
        ({"limit": "9" * 30}, False),
        ({"limit": "\u00b2"}, False),  # a digit to Python, not to int()
        ({"limit": None}, False),
    ],
)
def test_a_pagination_limit_bounds_listings(query: dict[str, Any], allowed: bool) -> None:
    """A request may name less; one that names none is told the limit to apply."""
    for operation in ("list", "scan"):
        decision = acl("pagination_limit = 5").check(operation, "x", body=query)
        assert (allowed, 5 if allowed else 0) == (decision.allowed, decision.pagination_limit)
    assert acl("").check("list", "x", body=query).allowed


def test_a_pagination_limit_concerns_listings_only_and_the_lowest_counts() -> None:
    """Reads are not told of it; with `limit` required, a listing must name one."""
    assert acl("pagination_limit = 5").check("read", "x").pagination_limit == 0
    assert acl("pagination_limit = 5", "pagination_limit = 3", "").check("list", "x").pagination_limit == 3
    required = acl('pagination_limit = 5 required_parameters = ["Limit"]')
    assert not required.check("list", "x").allowed
    assert required.check("list", "x", body={"limit": "5"}).allowed


def test_conditions_do_not_survive_a_deny_and_do_not_grant() -> None:
    """A capability that is missing stays missing however well the conditions hold."""
    compiled = Acl.compile(
        [("p", parse_policy('path "x" { capabilities = ["read"] allowed_parameters = { a = [] } }'))]
    )

    assert compiled.check("read", "x", body={"a": 1}).allowed
    assert not compiled.check("update", "x", body={"a": 1}).allowed
    denied = acl("allowed_parameters = { a = [] }").compile(
        [("p", parse_policy('path "x" { capabilities = ["deny"] allowed_parameters = { a = [] } }'))]
    )
    assert not denied.check("read", "x", body={"a": 1}).allowed
