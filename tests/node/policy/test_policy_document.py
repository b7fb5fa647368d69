"""Policy texts: what they mean, and the sentences of those that are refused."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.policy import Capability, PathRule, PolicyError, parse_policy, plain_text

READ = Capability.READ
NO_DURATION = "error parsing max_wrapping_ttl: not a duration of whole seconds, 0 or more"


def only_rule(text: str) -> PathRule:
    rules = parse_policy(text).rules
    assert len(rules) == 1
    return rules[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('path "x" { capabilities = ["fly"] }', 'path "x": invalid capability "fly"'),
        ('path "x" { capabilities = ["Read"] }', 'path "x": invalid capability "Read"'),
        ('path "x" { capabilities = ["root"] }', 'path "x": invalid capability "root"'),
        ('path "x" { capabilities = ["deny", "fly"] }', 'path "x": invalid capability "fly"'),
        ('path "x" { caps = ["read"] }', '1 error occurred:\n\t* path "x": invalid key "caps" on line 1\n\n'),
        (
            'path "x" { caps = ["read"]\n  zap = 1 }',
            ('2 errors occurred:\n\t* path "x": invalid key "caps" on line 1\n'
            '\t* path "x": invalid key "zap" on line 2\n\n'),
        ),
        ("nonsense = 1", '1 error occurred:\n\t* invalid key "nonsense" on line 1\n\n'),
        ('path "x" {', "At 1:12: object expected closing RBRACE got: EOF"),
        ('path "x/+*" { capabilities = ["read"] }', "path \"x/+*\": invalid use of wildcards ('+*' is forbidden)"),
        ('path "/a+*" { }', "path \"a+*\": invalid use of wildcards ('+*' is forbidden)"),
        ('path "x" { policy = "fly" }', 'path "x": invalid policy "fly"'),
        ('path "x" { policy = ["read"] }', 'path "x": At 1:21: root.policy: unknown type for string *ast.ListType'),
        ('path "x" { capabilities = "read" }', 'path "x": At 1:27: unknown slice type: *ast.LiteralType'),
        (
            'path "x" { capabilities = [true] }',
            'path "x": At 1:28: root.capabilities[0]: unknown type for string *ast.LiteralType',
        ),
        (
            'path "x" { capabilities = ["read"] required_parameters = "a" }',
            'path "x": At 1:58: unknown slice type: *ast.LiteralType',
        ),
        (
            'path "x" { allowed_parameters = ["a"] }',
            'path "x": At 1:33: root.allowed_parameters: not an object type for map (*ast.ListType)',
        ),
        ('path "x" { denied_parameters = { a = "b" } }', 'path "x": At 1:38: unknown slice type: *ast.LiteralType'),
        (
            'path "x" { allowed_parameters = { a = ["b"] A = ["c"] } }',
            'path "x": At 1:45: The argument "A" at 1:35 was already set. Each argument can only be defined once',
        ),
        (
            'path "x" { capabilities = ["deny"] capabilities = ["read"] }',
            'At 1:36: The argument "capabilities" at 1:12 was already set. Each argument can only be defined once',
        ),
        (
            'path "x" { min_wrapping_ttl = "2h" max_wrapping_ttl = "1h" }',
            "max_wrapping_ttl cannot be less than min_wrapping_ttl",
        ),
        (
            'path "x" { min_wrapping_ttl = "abc" }',
            "error parsing min_wrapping_ttl: not a duration of whole seconds, 0 or more",
        ),
        ('path "x" { max_wrapping_ttl = -5 }', NO_DURATION),
        ('path "x" { max_wrapping_ttl = 1.5 }', NO_DURATION),
        ('path "x" { max_wrapping_ttl = true }', NO_DURATION),
        ('path "x" { max_wrapping_ttl = [] }', NO_DURATION),
        (
            'path "x" { pagination_limit = -5 }',
            'path "x": At 1:31: root.pagination_limit: must be a whole number of 0 or more',
        ),
        ('path "x" { capabilities "y" { } }', 'path "x": labels after "capabilities" mean nothing'),
        ('path "x" "y" { }', "At 1:1: a path stanza has one path"),
        ('path = "x"', 'path "path": cannot check HCL keys of type *ast.LiteralType'),
        ('path { "x" { policy = "read" } }', '1 error occurred:\n\t* path "path": invalid key "x" on line 1\n\n'),
        ('name = ["a"]', "At 1:8: root.name: unknown type for string *ast.ListType"),
        ('path "{{identity.nothing" { }', "failed to validate policy templating: unbalanced templating characters"),
        ('path "a}}" { }', "failed to validate policy templating: unbalanced templating characters"),
        ('path "{{a {{b}}" { }', "failed to validate policy templating: unbalanced templating characters"),
        ('{"path": 5}', 'path "path": cannot check HCL keys of type *ast.LiteralType'),
        ('{"path": []}', 'path "path": cannot check HCL keys of type *ast.ListType'),
        ('{"path": {"x": 5}}', '1 error occurred:\n\t* path "path": invalid key "x" on line 1\n\n'),
        ('{"path": {"x": {"zap": 1}}}', '1 error occurred:\n\t* path "x": invalid key "zap" on line 1\n\n'),
        ('{"path": {"x": {"capabilities": null}}}', 'path "x": At 1:33: unknown slice type: *ast.LiteralType'),
        ('{"foo": 1}', '1 error occurred:\n\t* invalid key "foo" on line 1\n\n'),
    ],
)  # fmt: skip
def test_a_wrong_policy_is_refused_with_vaults_sentence(text: str, expected: str) -> None:
    """The sentence is what Vault's users know."""
    with pytest.raises(PolicyError) as caught:
        parse_policy(text)

    assert f"failed to parse policy: {expected}" == str(caught.value)


@pytest.mark.parametrize("key", ["expiration", "mfa_methods", "control_group", "list_scan_response_keys_filter_path"])
def test_a_key_whose_meaning_is_missing_is_an_unknown_key(key: str) -> None:
    """What would not be obeyed is not accepted."""
    with pytest.raises(PolicyError) as caught:
        parse_policy(f'path "x" {{ capabilities = ["read"] {key} = {{ }} }}')

    expected = f'failed to parse policy: 1 error occurred:\n\t* path "x": invalid key "{key}" on line 1\n\n'
    assert expected == str(caught.value)


@pytest.mark.parametrize("text", ["", "\n", "{}", "# only a comment", 'name = "n"', '{"name": "n"}', '{"path": {}}'])
def test_a_policy_without_a_path_is_a_policy_without_rules(text: str) -> None:
    """It is accepted and grants nothing."""
    assert parse_policy(text).rules == ()


@pytest.mark.parametrize(
    ("text", "path", "capabilities"),
    [
        ('path "x" { capabilities = ["read", "list",] }', "x", Capability.READ | Capability.LIST),
        ('path "x" { }', "x", Capability(0)),
        ('path "x" { capabilities = [] }', "x", Capability(0)),
        ('path "/x" { policy = "read" }', "x", Capability.READ | Capability.LIST),
        ('path { capabilities = ["read"] }', "path", READ),
        ('path "x" { policy = "deny" }', "x", Capability.DENY),
        ('path "x" { policy = "deny" capabilities = ["read"] }', "x", Capability.DENY),
        ('path "x" { policy = "read" capabilities = ["deny"] }', "x", Capability.DENY),
        ('path "x" { capabilities = ["scan", "patch", "sudo", "deny"] comment = "c" }', "x", Capability.DENY),
        ('path "x" { capabilities = ["scan", "patch"] }', "x", Capability.SCAN | Capability.PATCH),
        ('path "x" { capabilities = ["read"] policy = "" }', "x", READ),
        ('"path" "x" { "capabilities" = ["read"] }', "x", READ),
        ('{"path": {"x": {"capabilities": ["read"]}}}', "x", READ),
        ('{"path": [{"x": {"capabilities": ["read"]}}]}', "x", READ),
        ('{"path": {"policy": {"capabilities": ["read"]}}}', "policy", READ),
        ('path "x+y" { capabilities = ["read"] }', "x+y", READ),
        ('path "a*b*" { capabilities = ["read"] }', "a*b*", READ),
        ('path "{{identity.nothing}}" { capabilities = ["read"] }', "{{identity.nothing}}", READ),
    ],
)
def test_a_stanza_says_what_its_path_gets(text: str, path: str, capabilities: Capability) -> None:
    """Path and capabilities are what was written; deny stands alone."""
    rule = only_rule(text)

    assert (path, capabilities) == (rule.path, rule.capabilities)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("read", "list read"),
        ("write", "create delete list read update"),
        ("sudo", "create delete list read sudo update"),
        ("deny", "deny"),
    ],
)
def test_the_old_words_mean_what_they_always_meant(word: str, expected: str) -> None:
    """`policy = "write"` has no patch, because it is older than patch."""
    actual = sorted(str(part.name).lower() for part in only_rule(f'path "x" {{ policy = "{word}" }}').capabilities)

    assert expected.split() == actual


def test_the_conditions_of_a_stanza_are_read() -> None:
    """Parameters in lower case with their values as JSON has them, bounds in seconds."""
    rule = only_rule("""
        path "x" {
            capabilities        = ["read"]
            allowed_parameters  = { "Ab" = ["b", 1, true, ["c"], { d = "e" }] "*" = [] }
            denied_parameters { C = [] }
            required_parameters = ["A", "b", "a"]
            min_wrapping_ttl    = "1m"
            max_wrapping_ttl    = "1h30m"
            pagination_limit    = "5"
        }
    """)

    assert rule.allowed_parameters == {"ab": ("b", 1, True, ["c"], {"d": "e"}), "*": ()}
    assert rule.denied_parameters == {"c": ()}
    assert rule.required_parameters == ("a", "b")
    assert (rule.min_wrapping_ttl_s, rule.max_wrapping_ttl_s, rule.pagination_limit) == (60, 5400, 5)


@pytest.mark.parametrize(
    ("written", "expected_s"),
    [("300", 300), ('"300"', 300), ('"300s"', 300), ('"1h"', 3600), ('"1d"', 86400), ('""', 0), ("0x10", 16)],
)
def test_durations_are_read_in_every_spelling(written: str, expected_s: int) -> None:
    """Numbers are seconds; days are Vault's addition to Go's units."""
    assert expected_s == only_rule(f'path "x" {{ max_wrapping_ttl = {written} }}').max_wrapping_ttl_s


def test_the_same_path_may_stand_twice() -> None:
    """Both stanzas are kept, to be merged when compiled; only a repeated key inside one is an error."""
    rules = parse_policy('path "x" { policy = "read" }\npath "x" { policy = "deny" }').rules

    assert [rule.path for rule in rules] == ["x", "x"]


@pytest.mark.parametrize("text", ['path "x" { policy = "read" }', '{"path":{"x":{"policy":"read"}}}'])
def test_base64_of_a_policy_is_a_policy(text: str) -> None:
    """The plain text is what is read and stored; line breaks inside base64 do not count."""
    packed = base64.b64encode(text.encode()).decode()

    assert text == plain_text(packed)
    assert text == plain_text(f"{packed[:20]}\n{packed[20:]}")
    assert text == plain_text(text)
    assert parse_policy(text) == parse_policy(packed)


@pytest.mark.parametrize("text", ["abcd", "aGVsbG8=", "cGF0aCAieCIgeyBjYXBhYmlsaXRpZXMgPSBbInJlYWQiXSB"])
def test_base64_of_anything_else_is_refused(text: str) -> None:
    """Bytes that are no text, a word that is no policy, and base64 that is cut off."""
    with pytest.raises(PolicyError):
        parse_policy(text)


def test_templated_paths_are_marked() -> None:
    """A document knows whether it must be compiled for each identity."""
    assert parse_policy('path "a/{{identity.entity.id}}" { policy = "read" }').templated
    assert not parse_policy('path "a" { policy = "read" }').templated


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_a_document_or_a_policy_error(text: str) -> None:
    """Nothing a client sends as a policy raises anything else."""
    for candidate in (text, f'path "x" {{ {text} }}', f'{{"path":{{"x":{{{text}}}}}}}', f'path "{text}" {{}}'):
        try:
            parse_policy(candidate)
            sentence = "failed to parse policy: "
        except PolicyError as error:
            sentence = str(error)
        assert sentence.startswith("failed to parse policy: ")
