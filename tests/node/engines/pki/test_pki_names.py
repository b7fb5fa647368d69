"""Which names a role allows: a table of rules, every allowed name with a denied twin."""

from __future__ import annotations

import pytest

from node.engines.pki import names
from node.engines.pki.roles import Role

SUB = {"allowed_domains": ["example.com"], "allow_subdomains": True, "allow_localhost": False}
BARE = {"allowed_domains": ["example.com"], "allow_bare_domains": True, "allow_localhost": False}
GLOB = {"allowed_domains": ["web-*.example.com"], "allow_glob_domains": True, "allow_localhost": False}
ANY = {"allow_any_name": True}


@pytest.mark.parametrize(
    ("role", "allowed", "denied"),
    [
        (SUB, "a.example.com", "example.com"),
        (SUB, "a.b.example.com", "aexample.com"),
        (SUB, "A.EXAMPLE.com", "a.example.com.evil.org"),
        (SUB, "*.example.com", "*.evil.org"),
        (SUB, "*.a.example.com", "a.*.example.com"),
        (SUB, "web*.example.com", "w*b*.example.com"),
        (SUB, "me@a.example.com", "me@example.com"),
        (BARE, "example.com", "a.example.com"),
        (BARE, "Example.COM", "*.example.com"),
        (BARE, "me@example.com", "me@a.example.com"),
        (BARE, "you@example.com", "you@evil@example.com"),
        (GLOB, "web-1.example.com", "db-1.example.com"),
        (GLOB, "web-1.b.example.com", "web.example.com"),
        ({**GLOB, "allowed_domains": ["*"]}, "anything.org", "not a host"),
        (ANY, "anything.org", "any thing.org"),
        (ANY, "*.anything.org", "*"),
        (ANY, "me@anything.org", "@anything.org"),
        (ANY, "me@anything.org", "me@*.anything.org"),
        (ANY, "a" * 63 + ".org", "a" * 64 + ".org"),
        (ANY, "xn--bcher-kva.example", "bücher.example"),
        ({}, "localhost", "example.com"),
        ({"allow_subdomains": True}, "a.localhost", "a.local"),
        ({"allow_subdomains": True}, "*.localdomain", "*"),
        ({**ANY, "allow_wildcard_certificates": False}, "a.org", "*.a.org"),
        ({**ANY, "enforce_hostnames": False}, "Mister X", "a@b@c"),
    ],
)
def test_a_role_allows_a_name_and_not_its_twin(role, allowed, denied):
    """Rule by rule as Vault's validateNames; what differs in one character is refused."""
    assert names.is_allowed(Role(**role), allowed)
    assert not names.is_allowed(Role(**role), denied)


@pytest.mark.parametrize(
    "name", ["localhost", "a.example.com", "example.com", "me@example.com", "*.example.com", "", ".", "-", "a..b"]
)
def test_a_role_that_allows_nothing_allows_nothing(name):
    """No domain, no flag: not even the empty name."""
    assert not names.is_allowed(Role(allow_localhost=False), name)


@pytest.mark.parametrize("name", ["a.example.com", "x.com", ".com", "com"])
def test_flags_without_domains_allow_nothing(name):
    """All flags about domains are on, and there is no domain."""
    role = Role(allow_localhost=False, allow_subdomains=True, allow_bare_domains=True, allow_glob_domains=True)

    assert not names.is_allowed(role, name)


@pytest.mark.parametrize("domain", ["*.example.com", "*", "ex*"])
def test_a_glob_means_nothing_unless_the_role_says_so(domain):
    """A "*" in a domain is a character like others without `allow_glob_domains`."""
    role = Role(allow_localhost=False, allow_subdomains=True, allow_bare_domains=True, allowed_domains=[domain])

    assert not names.is_allowed(role, "a.example.com")


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("", "", True), ("", "a", False), ("*", "", True), ("*", "abc", True), ("a*", "abc", True), ("a*", "b", False),
        ("*c", "abc", True), ("a*c", "ac", True), ("a*c", "abd", False), ("ab*ba", "aba", False), ("a**c", "abc", True),
        ("a*b*c", "a-b-c", True), ("a*b*c", "a-c-b", False), ("*b*", "abc", True), ("*b*", "ac", False),
        ("a.c", "abc", False), ("[a]", "a", False),
    ],
)  # fmt: skip
def test_a_glob_is_nothing_but_stars(pattern, text, fits):
    """No other character has a meaning of its own."""
    assert names.is_glob(pattern, text) is fits


def test_a_glob_of_many_stars_takes_no_long_time():
    """It never goes back: as many steps as the text has characters, for each star."""
    assert not names.is_glob("*a" * 50 + "b", "a" * 2000)
