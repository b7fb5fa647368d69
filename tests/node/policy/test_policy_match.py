"""Which rule applies: every rule of matching, each with what it allows and what it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.policy import Acl, Document, PolicyError, parse_policy


def rules(**capabilities_by_path: str) -> str:
    return "\n".join(stanza(path, words) for path, words in capabilities_by_path.items())


def stanza(path: str, words: str) -> str:
    listed = ", ".join(f'"{word}"' for word in words.split())
    return f'path "{path}" {{ capabilities = [{listed}] }}'


def acl(*texts: str) -> Acl:
    return Acl.compile([(f"p{index}", parse_policy(text)) for index, text in enumerate(texts)])


RULES = acl(
    rules(
        **{
            "kv/*": "read",
            "kv/dir/*": "list read",
            "kv/dir/sub/a": "update",
            "kv/dir/sub/*": "create update read delete",
            "kv/plus/+/end": "update",
            "kv/plus/*": "read list",
            "kv/+/+/+/last": "create",
            "kv/deny": "deny",
            "kv/deny/*": "deny",
            "kv/deny/ok/*": "read",
            "kv/lis*": "list create",
            "sys/mounts": "read",
        }
    )
)


@pytest.mark.parametrize(
    ("operation", "path", "allowed"),
    [
        ("read", "kv/a", True),
        ("update", "kv/a", False),
        ("read", "kv/dir/a", True),
        ("read", "kv/dir/sub/a", False),
        ("update", "kv/dir/sub/a", True),
        ("create", "kv/dir/sub/a", False),
        ("create", "kv/dir/sub/new", True),
        ("delete", "kv/dir/sub/new", True),
        ("read", "kv/dir/sub/deep/a", True),
        ("read", "kv/plus/x/end", False),
        ("update", "kv/plus/x/end", True),
        ("read", "kv/plus/x/other", True),
        ("update", "kv/plus/x/y/end", False),
        ("create", "kv/1/2/3/last", True),
        ("update", "kv/1/2/3/last", False),
        ("read", "kv/deny", False),
        ("read", "kv/deny/a", False),
        ("read", "kv/deny/ok/a", True),
        ("list", "kv/", False),
        ("list", "kv/dir/", True),
        ("list", "kv/dir", True),
        ("list", "kv/dir/sub/", False),
        ("list", "kv/plus/", True),
        ("list", "kv/plus/x/", True),
        ("list", "kv/deny/", False),
        ("list", "kv/lis/", True),
        ("scan", "kv/dir/", False),
        ("read", "sys/mounts", True),
        ("read", "sys/mounts/", False),
        ("read", "sys/auth", False),
        ("read", "nosuch", False),
        ("read", "", False),
        ("read", "kv", False),
        ("header", "kv/a", False),
        ("nonsense", "kv/a", False),
    ],
)
def test_the_recorded_policy_is_judged_as_recorded(operation: str, path: str, allowed: bool) -> None:
    """A policy of a dozen patterns, asked with the requests that were put to a running OpenBao."""
    assert allowed == RULES.check(operation, path).allowed


def test_a_plus_pattern_beats_a_prefix_that_begins_its_wildcard_at_the_same_place() -> None:
    """`kv/1/2/3/last` is matched by `kv/*` too, which ends in `*` and so yields."""
    text = rules(**{"kv/*": "read", "kv/+/+/+/last": "create"})

    assert acl(text).check("create", "kv/1/2/3/last").allowed
    assert not acl(text).check("read", "kv/1/2/3/last").allowed
    assert acl(text).check("read", "kv/1/2/3/other").allowed


@pytest.mark.parametrize(
    ("winner", "loser", "path"),
    [
        ("kv/b", "kv/*", "kv/b"),  # an exact rule beats every wildcard
        ("kv/b", "kv/+", "kv/b"),
        ("kv/bc*", "kv/b*", "kv/bcd"),  # (1) a later first wildcard: the longest prefix
        ("kv/b*", "kv/+/c", "kv/b/c"),  # (1)
        ("kv/b/*", "kv/+/c", "kv/b/c"),  # (1)
        ("kv/b/+", "kv/+/c", "kv/b/c"),  # (1)
        ("kv/+/c", "kv/+/*", "kv/b/c"),  # (2) does not end in *
        ("kv/+", "kv/*", "kv/b"),  # (2)
        ("kv/+/+/d", "kv/+/c/*", "kv/b/c/d"),  # (2) before (3)
        ("kv/+/c/d", "kv/+/c/+", "kv/b/c/d"),  # (3) fewer +
        ("kv/+/c/*", "kv/+/+/d*", "kv/b/c/d"),  # (3)
        ("kv/*", "kv/+/c*", "kv/b/cd"),  # (3): a plain prefix has none
        ("kv/+/c*", "kv/+/*", "kv/b/cd"),  # (4) longer
        ("+/b/+", "+/+/b", "a/b/b"),  # (5) lexicographically larger
    ],
)
def test_the_more_specific_pattern_counts_alone(winner: str, loser: str, path: str) -> None:
    """Read is on the winner, list on the loser: only read is there, in either order of writing."""
    for text in (
        rules(**{winner: "read", loser: "update"}),
        rules(**{loser: "update", winner: "read"}),
    ):
        assert acl(text).capabilities(path) == ["read"]
        assert acl(text).check("read", path).allowed
        assert not acl(text).check("update", path).allowed


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("a", ["a"], ["a/", "ab", "a/b", "A"]),
        ("a/*", ["a/", "a/b", "a/b/c"], ["a", "ab"]),
        ("a*", ["a", "ab", "a/b"], ["b"]),
        ("*", ["a", "a/b", ""], []),
        ("+", ["a", "ab"], ["a/b"]),
        ("a/+", ["a/b", "a/"], ["a", "a/b/c"]),
        ("a/+/c", ["a/b/c", "a//c"], ["a/c", "a/b/d", "a/b/b/c", "a/b/c/"]),
        ("+/b", ["a/b"], ["b", "a/a/b"]),
        ("a/+/*", ["a/b/", "a/b/c", "a/b/c/d"], ["a/b"]),
        ("a/+/c*", ["a/b/c", "a/b/cd", "a/b/c/d"], ["a/b/d", "a/b"]),
        ("a/b*c", ["a/b*c"], ["a/bc", "a/bxc"]),
        ("a/x+", ["a/x+"], ["a/xy", "a/x"]),
        ("a/+x", ["a/+x"], ["a/bx"]),
        ("a.c/+", ["a.c/b"], ["abc/b"]),
        ("+/a.c", ["x/a.c"], ["x/abc"]),
    ],
)
def test_a_pattern_matches_what_its_wildcards_say(pattern: str, matching: list[str], other: list[str]) -> None:
    """`*` counts at the end only, `+` as a whole segment only; everything else is literal."""
    compiled = acl(stanza(pattern, "read"))

    assert matching == [path for path in matching + other if compiled.check("read", path).allowed]


@pytest.mark.parametrize(
    ("pattern", "listed", "refused"),
    [
        ("kv", ["kv", "kv/"], ["kv/dir", "kv/dir/"]),
        ("kv/", ["kv", "kv/"], ["kv/dir/"]),
        ("kv/*", ["kv", "kv/", "kv/dir"], []),
        ("kv/dir", ["kv/dir", "kv/dir/"], ["kv/", "kv/dir/sub/"]),
        ("kv/dir/", ["kv/dir", "kv/dir/"], ["kv/", "kv/dir/sub/"]),
        ("kv/+", ["kv/dir/", "kv/"], ["kv/dir/sub/"]),
        ("kv/+/", ["kv/dir/"], ["kv/"]),
    ],
)
def test_a_folder_may_be_named_with_or_without_its_slash(pattern: str, listed: list[str], refused: list[str]) -> None:
    """List and scan look for both spellings; read does not."""
    compiled = acl(stanza(pattern, "list scan"))

    for operation in ("list", "scan"):
        assert listed == [path for path in listed + refused if compiled.check(operation, path).allowed]


@pytest.mark.parametrize("operation", ["list", "scan"])
@pytest.mark.parametrize("denied", ["kv/dir", "kv/dir/", "kv/dir/*", "kv/+/", "kv/di*"])
def test_a_denied_folder_is_not_listed_in_either_spelling(operation: str, denied: str) -> None:
    """GHSA-xp3c-3jw3-4vcr: the grant on `kv/*` must not be found first by dropping the slash."""
    compiled = acl(rules(**{"kv/*": "list scan", denied: "deny"}))

    assert not compiled.check(operation, "kv/dir").allowed
    assert not compiled.check(operation, "kv/dir/").allowed
    assert compiled.check(operation, "kv/other/" if denied != "kv/+/" else "kv/a/b/").allowed


def test_a_granted_folder_below_a_denied_one_is_listed() -> None:
    """The most specific pattern counts, also downwards."""
    compiled = acl(rules(**{"m/*": "list scan", "m/private/*": "deny", "m/private/granted/*": "list scan"}))

    for operation in ("list", "scan"):
        assert compiled.check(operation, "m/").allowed
        assert not compiled.check(operation, "m/private/").allowed
        assert not compiled.check(operation, "m/private/internal/").allowed
        assert compiled.check(operation, "m/private/granted/").allowed
        assert compiled.check(operation, "m/private/granted/test/").allowed


def test_the_same_path_string_is_merged_over_policies() -> None:
    """Capabilities of one string add up; another pattern that matches adds nothing."""
    merged = acl(
        rules(**{"kv/both": "read", "kv/b*": "delete"}),
        rules(**{"kv/both": "update", "kv/bo*": "list delete"}),
    )

    assert merged.capabilities("kv/both") == ["read", "update"]
    assert merged.capabilities("kv/bo") == ["delete", "list"]
    assert merged.capabilities("kv/bx") == ["delete"]
    assert merged.capabilities("zzz") == ["deny"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_deny_in_one_policy_wins_in_any_order(order: tuple[int, int]) -> None:
    """Deny clears the string, whatever the other policies grant on it."""
    texts = (stanza("kv/both", "read sudo"), stanza("kv/both", "deny"))

    merged = acl(*(texts[index] for index in order))

    assert merged.capabilities("kv/both") == ["deny"]
    assert not merged.check("read", "kv/both").allowed
    assert not merged.check("read", "kv/both").sudo
    assert acl(texts[0]).check("read", "kv/both").allowed


def test_deny_within_one_document_wins_too() -> None:
    """Two stanzas of the same path are merged like two policies."""
    assert acl('path "x" { policy = "read" }\npath "/x" { policy = "deny" }').capabilities("x") == ["deny"]


def test_a_policy_that_grants_twice_is_named_once() -> None:
    """Two stanzas of one policy are one granting policy."""
    compiled = acl('path "x" { policy = "read" }\npath "x" { policy = "write" }')

    assert compiled.check("read", "x").granting_policies == ("p0",)


def test_a_rule_is_about_a_path_whether_it_grants_or_denies() -> None:
    """What no rule is about is refused without anybody having said so."""
    named = ("kv/deny", "kv/deny/x", "kv/plus/a/end", "sys/mounts")
    assert all(RULES.names("read", path) for path in named)
    assert not any(RULES.names("read", path) for path in ("kv", "sys/mounts/x", "other"))
    assert RULES.names("list", "sys/mounts/")
    assert not Acl.ROOT.names("read", "kv/deny")


def test_a_stanza_without_capabilities_hides_the_wider_one() -> None:
    """It is the one that counts, and it grants nothing."""
    compiled = acl('path "kv/*" { capabilities = ["read"] }\npath "kv/x" { }')

    assert compiled.capabilities("kv/x") == ["deny"]
    assert not compiled.check("read", "kv/x").allowed


@pytest.mark.parametrize(
    ("operation", "needed"),
    [
        ("read", "read"),
        ("list", "list"),
        ("scan", "scan"),
        ("create", "create"),
        ("update", "update"),
        ("patch", "patch"),
        ("delete", "delete"),
        ("revoke", "update"),
        ("renew", "update"),
        ("rollback", "update"),
    ],
)
def test_each_operation_needs_its_capability_and_no_other(operation: str, needed: str) -> None:
    """Create is not update, scan is not list, sudo is none of them."""
    others = {"create", "read", "update", "patch", "delete", "list", "scan", "sudo"} - {needed}

    assert acl(stanza("x", needed)).check(operation, "x").allowed
    assert not acl(stanza("x", " ".join(sorted(others)))).check(operation, "x").allowed


def test_help_is_always_allowed() -> None:
    """Whoever has a valid token may ask for help, also where everything is denied."""
    assert acl().check("help", "anything").allowed
    assert acl(stanza("x", "deny")).check("help", "x").allowed
    assert not acl(stanza("x", "deny")).check("help", "x").sudo


def test_a_decision_names_the_policies_that_granted_it_and_sudo() -> None:
    """Only policies that grant this capability on this string are named."""
    merged = acl(stanza("x", "read"), stanza("x", "update sudo"), stanza("x", "read"), stanza("x*", "read"))

    decision = merged.check("read", "x")

    assert decision.granting_policies == ("p0", "p2")
    assert decision.sudo
    assert not decision.is_root
    assert not acl(stanza("x", "read")).check("read", "x").sudo
    assert merged.check("list", "x").granting_policies == ()


def test_root_may_do_everything() -> None:
    """Every operation, known or not, with sudo, and is told apart."""
    for operation in ("read", "list", "header", "help", "nonsense"):
        decision = Acl.ROOT.check(operation, "any/path")
        assert decision.allowed
        assert decision.sudo
        assert decision.is_root
        assert decision.granting_policies == ("root",)
    assert Acl.ROOT.capabilities("any/path") == ["root"]
    assert Acl.ROOT is Acl.compile([("root", Document((), templated=False))])


def test_root_beside_other_policies_is_refused() -> None:
    """A list that would be root by accident is an error."""
    with pytest.raises(PolicyError, match="other policies present along with root"):
        Acl.compile([("default", Document((), templated=False)), ("root", Document((), templated=False))])


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("kv/dir/x", ["list", "read"]),
        ("kv/dir/sub/a", ["update"]),
        ("kv/plus/q/end", ["update"]),
        ("kv/deny/a", ["deny"]),
        ("zzz", ["deny"]),
        ("/kv/a", ["read"]),
        ("sys/mounts/", ["deny"]),
        ("kv/dir/x/", ["list", "read"]),
    ],
)
def test_capabilities_are_sorted_words(path: str, expected: list[str]) -> None:
    """As recorded but for one: with a slash behind it, a path is another, and reading it is refused."""
    assert expected == RULES.capabilities(path)


def test_a_leading_slash_does_not_get_round_a_rule() -> None:
    """`//x` and `x` are one path, should the edge ever let it through."""
    compiled = acl(rules(**{"*": "read", "x": "deny"}))

    for path in ("x", "/x", "//x"):
        assert not compiled.check("read", path).allowed
    assert compiled.check("read", "/y").allowed


@pytest.mark.parametrize(
    ("pattern", "prefix", "expected"),
    [
        ("kv/a", "kv/", True),
        ("kv/*", "kv/", True),
        ("k*", "kv/", True),
        ("kv*", "kv/x/", True),
        ("*", "kv/", True),
        ("+/a", "kv/", True),
        ("kv", "kv/", True),
        ("kv/x", "kv/y/", False),
        ("kv2/*", "kv/", False),
        ("+/x/*", "a/y/", False),
        ("+/x/*", "a/x/", True),
        ("a", "a/b/", False),
    ],
)
def test_a_mount_is_shown_to_whoever_has_something_below_it(pattern: str, prefix: str, expected: bool) -> None:
    """A deny alone shows nothing."""
    assert expected == acl(stanza(pattern, "read")).reaches(prefix)
    assert not acl(stanza(pattern, "deny")).reaches(prefix)
    assert Acl.ROOT.reaches(prefix)


def test_patterns_are_told_with_their_capabilities() -> None:
    """For the answer about the resultant list; deny is told too."""
    compiled = acl(rules(**{"b/*": "read list", "a": "deny", "c/+": "update"}))

    assert compiled.patterns() == {"a": ["deny"], "b/*": ["list", "read"], "c/+": ["update"]}


# The rule book, written down a second time as directly as it can be, to hold the fast one against.

_SEGMENTS = st.sampled_from(["a", "b", "ab", "+", ""])
_PATTERNS = st.builds(
    lambda segments, star: "/".join(segments) + star,
    st.lists(_SEGMENTS, min_size=1, max_size=4),
    st.sampled_from(["", "*", "a*"]),
).filter(lambda pattern: "+*" not in pattern and not pattern.startswith("/"))
_PATHS = st.lists(st.sampled_from(["a", "b", "ab", "aa"]), min_size=1, max_size=4).map("/".join)


def naive_match(pattern: str, path: str) -> bool:
    is_prefix = pattern.endswith("*")
    wanted, found = pattern.removesuffix("*").split("/"), path.split("/")
    if len(found) < len(wanted) or (not is_prefix and len(found) != len(wanted)):
        return False
    return all(
        segment in {"+", found[index]} or (is_prefix and index == len(wanted) - 1 and found[index].startswith(segment))
        for index, segment in enumerate(wanted)
    )


def naive_priority(pattern: str) -> tuple[int, bool, int, int, str]:
    body = pattern.removesuffix("*")
    segments = body.split("/")
    first = len("/".join([*segments[: segments.index("+")], ""])) if "+" in segments else len(body)
    return (first, not pattern.endswith("*"), -segments.count("+"), len(body), body)


@settings(max_examples=100, deadline=None)
@given(st.lists(_PATTERNS, max_size=8, unique=True), _PATHS)
def test_the_fast_lookup_finds_what_the_rule_book_says(patterns: list[str], path: str) -> None:
    """Each pattern is granted by its own policy, so the decision names the pattern that counted."""
    documents = [(pattern, parse_policy(stanza(pattern, "read"))) for pattern in patterns]
    matching = [pattern for pattern in patterns if naive_match(pattern, path)]
    best = path if path in patterns else max(matching, key=naive_priority, default=None)

    decision = Acl.compile(documents).check("read", path)

    assert (() if best is None else (best,)) == decision.granting_policies
