"""Password policies, and passwords by them."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.engines.system.passwords import (
    ATTEMPTS_MAX,
    LENGTH_MAX,
    LENGTH_MIN,
    RULES_MAX,
    PasswordPolicyError,
    Rule,
    generate,
    parse,
)
from tests.node.auth.world import World

FULL = """
length = 20  # characters
rule "charset" {
  charset = "abcdefghij"
  min-chars = 2
}
rule "charset" {
  charset = "0123456789"
  min-chars = 3
}
"""
AS_JSON = (
    '{"length": 20, "rule": [{"charset": [{"charset": "abcdefghij", "min-chars": 2}]},'
    ' {"charset": [{"charset": "0123456789", "min-chars": 3}]}]}'
)
LAST = '\nrule "charset" { charset = "abc" }'


def holds(rule: Rule, password: str) -> bool:
    return sum(character in rule.charset for character in password) >= rule.count_min


def counted(seed: int = 0):
    """Bytes that a test can repeat."""
    import hashlib

    state = {"at": seed * 1_000_000}

    def random(count: int) -> bytes:
        state["at"] += 1
        return hashlib.shake_128(state["at"].to_bytes(8, "big")).digest(count)

    return random


# ---- the grammar
@pytest.mark.parametrize("text", [FULL, AS_JSON])
def test_hcl_and_json_say_the_same(text):
    """Rules of the same kind may come several times."""
    policy = parse(text)

    assert policy.length == 20
    assert policy.rules == (Rule("abcdefghij", 2), Rule("0123456789", 3))
    assert policy.charset == "0123456789abcdefghij"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("length = 0", "2 errors occurred:\n\t* length must be > 0\n\t* no charset specified\n\n"),
        ("", "2 errors occurred:\n\t* length must be > 0\n\t* no charset specified\n\n"),
        ("length = 20", "1 error occurred:\n\t* no charset specified\n\n"),
        ("length = -5" + LAST, "1 error occurred:\n\t* length must be > 0\n\n"),
        (
            'length = 4\nrule "charset" { charset = "abc" min-chars = 5 }',
            "1 error occurred:\n\t* specified rules require at least 5 characters but 4 is specified\n\n",
        ),
        (
            'length = 9\nrule "charset" { charset = "a\\u0007" }',
            "1 error occurred:\n\t* non-printable character in charset\n\n",
        ),
        ("length = 3" + LAST, "passwords must be between 4 and 100 characters"),
        ("length = 101" + LAST, "passwords must be between 4 and 100 characters"),
        ('length = "x"' + LAST, "length must be a whole number"),
        ("length = true" + LAST, "length must be a whole number"),
        ("length = 9.5" + LAST, "length must be a whole number"),
        ("length = 9\nsecret = 1", "unrecognized key on line 2: there are length and rule"),
        ('length = 9\nrule "regexp" { charset = "x" }', "unrecognized kind of rule on line 2: there is charset"),
        (
            'length = 9\nrule "charset" { chars = "hidden" }',
            "unrecognized key or value on line 2 of a charset rule",
        ),
        (
            'length = 9\nrule "charset" { charset = "abc" min-chars = -1 }',
            "min-chars cannot be negative",
        ),
        (
            'length = 9\nrule "charset" { charset = "abc" }\nrule "charset" { charset = "" min-chars = 1 }',
            "unable to construct test password from provided policy: are the rules impossible?",
        ),
        ('length = 9\nrule = "x"', 'a rule looks like rule "charset" { charset = "abc" min-chars = 1 }'),
        ("length = 9\nlength = 10", "At 2:1: The argument"),
        ("length = {", "At 1:"),
    ],
)
def test_what_is_no_policy_is_refused(text, problem):
    """With Vault's words, and never with what stands in it."""
    with pytest.raises(PasswordPolicyError) as caught:
        parse(text)

    assert str(caught.value).startswith(problem)
    assert "hidden" not in str(caught.value)


def test_a_charset_is_bounded():
    """256 different characters are taken, one more is not."""
    characters = [chr(at) for at in range(0x4E00, 0x4E00 + 257)]

    assert len(parse(f'length = 9\nrule "charset" {{ charset = "{"".join(characters[:256])}" }}').charset) == 256
    with pytest.raises(PasswordPolicyError, match="limited to 256"):
        parse(f'length = 9\nrule "charset" {{ charset = "{"".join(characters)}" }}')


def test_rules_are_bounded():
    """So many cost a millisecond a password; one more is refused, by its number alone."""
    rule = '\nrule "charset" {{ charset = "{}z" min-chars = 1 }}'
    rules = "".join(rule.format("".join(chr(at) for at in range(0xA1, 0x180) if at != 0xAD)) for _ in range(RULES_MAX))

    assert len(generate(parse(f"length = 100{rules}"), counted())) == 100
    with pytest.raises(PasswordPolicyError, match="there are more than 16 rules"):
        parse(f"length = 100{rules}{LAST}")


@given(st.text(max_size=200))
@settings(max_examples=150, deadline=None)
def test_any_text_is_a_policy_or_refused(text):
    """Never another error."""
    try:
        policy = parse(text)
    except PasswordPolicyError:
        return
    assert LENGTH_MIN <= policy.length <= LENGTH_MAX


# ---- passwords
@given(
    length=st.integers(LENGTH_MIN, 30),
    rules=st.lists(
        st.tuples(st.text("abcXYZ019!", min_size=1, max_size=10), st.integers(0, 3)), min_size=1, max_size=4
    ),
    seed=st.integers(0, 1000),
)
@settings(max_examples=150, deadline=None)
def test_a_password_fulfils_its_policy(length, rules, seed):
    """Length, charset, and every rule, however they overlap."""
    body = "".join(f'\nrule "charset" {{ charset = "{charset}" min-chars = {least} }}' for charset, least in rules)
    if sum(least for _, least in rules) > length:
        return
    policy = parse(f"length = {length}{body}")
    password = generate(policy, counted(seed))

    assert len(password) == length
    assert set(password) <= set(policy.charset)
    assert all(holds(rule, password) for rule in policy.rules)


def test_characters_are_equally_likely():
    """Also where their number does not divide 256: 10 characters, 40,000 draws, five standard deviations."""
    random, policy = counted(), parse('length = 100\nrule "charset" { charset = "0123456789" }')
    counts = Counter("".join(generate(policy, random) for _ in range(400)))

    assert sorted(counts) == list("0123456789")
    assert all(abs(count - 4000) < 300 for count in counts.values())


def test_a_password_that_is_hardly_ever_drawn_is_built():
    """One of each of four charsets in four characters, one of which has one character in 90; in every order."""
    many = "".join(chr(at) for at in range(0x23, 0x7D) if chr(at) not in '\\"')
    rules = "".join(f'\nrule "charset" {{ charset = "{one}" min-chars = 1 }}' for one in ("é", "ü", "ö", many))
    policy, random = parse("length = 4" + rules), counted()
    passwords = [generate(policy, random) for _ in range(60)]

    assert all(holds(rule, password) for password in passwords for rule in policy.rules)
    assert {password.index("é") for password in passwords} == {0, 1, 2, 3}


def test_drawing_is_bounded():
    """A policy that is never met by chance costs ATTEMPTS_MAX draws and the building of one."""
    calls = 0

    def zeros(count: int) -> bytes:
        nonlocal calls
        calls += 1
        return bytes(count)

    policy = parse('length = 4\nrule "charset" { charset = "ab" }\nrule "charset" { charset = "z" min-chars = 2 }')

    assert sorted(generate(policy, zeros)) == ["a", "a", "z", "z"]
    assert calls <= ATTEMPTS_MAX + 10


# ---- the paths
@pytest.fixture
def world() -> World:
    return World()


def test_a_policy_is_kept_as_it_was_written(world):
    """Written, read, listed, replaced, deleted."""
    assert world.refused("list", "sys/policies/password")[0] == 404
    assert world.ask("update", "sys/policies/password/pw", {"policy": FULL}).empty
    assert world.data("read", "sys/policies/password/pw") == {"policy": FULL}
    world.ask("update", "sys/policies/password/pw", {"policy": AS_JSON})
    world.ask("update", "sys/policies/password/a.b-c", {"policy": FULL})
    assert world.data("read", "sys/policies/password/pw") == {"policy": AS_JSON}
    assert world.data("list", "sys/policies/password/") == {"keys": ["a.b-c", "pw"]}
    assert world.ask("delete", "sys/policies/password/pw").empty
    assert world.ask("delete", "sys/policies/password/pw").empty
    assert world.data("list", "sys/policies/password") == {"keys": ["a.b-c"]}
    assert world.refused("read", "sys/policies/password/pw") == (404, "policy does not exist", True)


def test_base64_is_taken_and_kept_as_text(world):
    """As Vault's clients may send it."""
    import base64

    world.ask("update", "sys/policies/password/pw", {"policy": base64.b64encode(FULL.encode()).decode()})

    assert world.data("read", "sys/policies/password/pw") == {"policy": FULL}


def test_passwords_are_made(world):
    """Each another one; 404 without a policy."""
    world.ask("update", "sys/policies/password/pw", {"policy": FULL})
    passwords = {world.data("read", "sys/policies/password/pw/generate")["password"] for _ in range(5)}

    assert len(passwords) == 5
    assert {len(password) for password in passwords} == {20}
    assert world.refused("read", "sys/policies/password/none/generate") == (404, "policy does not exist", True)


def test_a_bad_policy_is_refused_as_vault_does(world):
    """In the form of the core's errors, and nothing is stored."""
    text = "invalid password policy: 2 errors occurred:\n\t* length must be > 0\n\t* no charset specified\n\n"

    assert world.refused("update", "sys/policies/password/bad", {"policy": "length = 0"}) == (400, text, True)
    assert world.refused("update", "sys/policies/password/bad", {}) == (400, "missing policy", True)
    assert world.refused("read", "sys/policies/password/bad")[0] == 404


def test_generating_needs_a_rule_of_its_own(world):
    """Whoever may read the policy may not make passwords, and the other way round."""
    world.ask("update", "sys/policies/password/pw", {"policy": FULL})
    world.policy("p", 'path "sys/policies/password/pw/generate" { capabilities = ["read"] }')
    token = world.make({"policies": ["p"]})

    assert world.data("read", "sys/policies/password/pw/generate", token=token)["password"]
    assert world.refused("read", "sys/policies/password/pw", token=token)[0] == 403
