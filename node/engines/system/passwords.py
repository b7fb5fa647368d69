"""Password policies as text, and passwords by them.

Pure: random bytes come in. Invariants
  P1  what was parsed can be fulfilled: every policy here makes a password, in bounded time
  P2  every character is chosen without bias; a password is one drawn from the whole charset that fulfils every rule,
      and only where none of ATTEMPTS_MAX did, one that is built to
  P3  no text of an error holds anything of the policy but its numbers
Source: Vault, "Password policies"; the texts are Vault's (helper/random).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...policy import hcl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ...policy.hcl import Node, ObjectNode

    Random = Callable[[int], bytes]

LENGTH_MIN, LENGTH_MAX = 4, 100
CHARSET_MAX = 256
RULES_MAX = 16
ATTEMPTS_MAX = 100


class PasswordPolicyError(Exception):
    """The text is no policy. The message is for its author."""


@dataclass(frozen=True, slots=True)
class Rule:
    """At least `count_min` characters are of `charset`, each of which stands in it once."""

    charset: str
    count_min: int


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    """A length and rules."""

    length: int
    rules: tuple[Rule, ...]

    @property
    def charset(self) -> str:
        """Every character that a password may have, once, sorted."""
        return "".join(sorted({character for rule in self.rules for character in rule.charset}))


def parse(text: str) -> PasswordPolicy:
    """The policy of a text in HCL or JSON. Raises PasswordPolicyError."""
    try:
        tree = hcl.parse(text)
    except hcl.HclError as error:
        raise PasswordPolicyError(str(error)) from None
    length, rules = 0, []
    for item in tree.items:
        if item.keys == ("length",):
            length = _number("length", item.value)
        elif item.keys[0] == "rule":
            rules += [_rule(kind, body) for kind, body in _rules(item.keys[1:], item.value)]
        else:
            raise PasswordPolicyError(f"unrecognized key on line {item.place.line}: there are length and rule")
    if len(rules) > RULES_MAX:
        raise PasswordPolicyError(f"there are more than {RULES_MAX} rules")
    policy = PasswordPolicy(length, tuple(rules))
    _check(policy)
    return policy


def generate(policy: PasswordPolicy, random: Random) -> str:
    """A password by the policy."""
    charset, length = policy.charset, policy.length
    # While it is only drawn, a password is its places in the charset, which fit bytes: a rule counts them at once.
    places = {character: at for at, character in enumerate(charset)}
    rules = [(bytes(places[one] for one in rule.charset), rule.count_min) for rule in policy.rules if rule.count_min]
    for _ in range(ATTEMPTS_MAX):
        drawn = bytes(_choices(random, len(charset), length))
        if all(length - len(drawn.translate(None, members)) >= count_min for members, count_min in rules):
            return "".join(charset[at] for at in drawn)
    characters = [rule.charset[at] for rule in policy.rules for at in _some(random, rule)]
    characters += [charset[at] for at in _choices(random, len(charset), length - len(characters))]
    for last in range(length - 1, 0, -1):  # Fisher and Yates
        (at,) = _choices(random, last + 1, 1)
        characters[last], characters[at] = characters[at], characters[last]
    return "".join(characters)


def _some(random: Random, rule: Rule) -> list[int]:
    return _choices(random, len(rule.charset), rule.count_min)


def _choices(random: Random, size: int, count: int) -> list[int]:
    """`count` numbers below `size`, which is at most 256: bytes that would favour the first ones are thrown away."""
    limit = 256 - 256 % size if size else 0
    found: list[int] = []
    while len(found) < count:
        found += [byte % size for byte in random(2 * (count - len(found))) if byte < limit]
    return found[:count]


def _check(policy: PasswordPolicy) -> None:
    """P1. Every objection at once, as Vault says them."""
    problems = []
    least = sum(rule.count_min for rule in policy.rules)
    if policy.length <= 0:
        problems.append("length must be > 0")
    elif policy.length < least:
        problems.append(f"specified rules require at least {least} characters but {policy.length} is specified")
    charset = policy.charset
    if not charset:
        problems.append("no charset specified")
    elif len(charset) > CHARSET_MAX:
        problems.append(f"charset is too long: limited to {CHARSET_MAX} characters")
    elif not charset.isprintable():
        problems.append("non-printable character in charset")
    if problems:
        count = "1 error" if len(problems) == 1 else f"{len(problems)} errors"
        raise PasswordPolicyError(f"{count} occurred:\n" + "".join(f"\t* {text}\n" for text in problems) + "\n")
    if not LENGTH_MIN <= policy.length <= LENGTH_MAX:
        raise PasswordPolicyError(f"passwords must be between {LENGTH_MIN} and {LENGTH_MAX} characters")
    if any(rule.count_min and not rule.charset for rule in policy.rules):
        raise PasswordPolicyError("unable to construct test password from provided policy: are the rules impossible?")


def _rules(kinds: tuple[str, ...], value: Node) -> Iterator[tuple[str, ObjectNode]]:
    """(kind of rule, its body): `rule "charset" {…}`, and JSON's `{"rule": [{"charset": [{…}]}]}`."""
    if isinstance(value, hcl.ListNode):
        for one in value.items:
            yield from _rules(kinds, one)
    elif not isinstance(value, hcl.ObjectNode) or len(kinds) > 1:
        raise PasswordPolicyError('a rule looks like rule "charset" { charset = "abc" min-chars = 1 }')
    elif kinds:
        yield kinds[0], value
    else:
        for item in value.items:
            yield from _rules(item.keys, item.value)


def _rule(kind: str, body: ObjectNode) -> Rule:
    if kind != "charset":
        raise PasswordPolicyError(f"unrecognized kind of rule on line {body.place.line}: there is charset")
    charset, count_min = "", 0
    for item in body.items:
        if item.keys == ("charset",) and isinstance(item.value, hcl.Literal) and isinstance(item.value.value, str):
            charset = "".join(sorted(set(item.value.value)))
        elif item.keys == ("min-chars",):
            count_min = _number("min-chars", item.value)
        else:
            raise PasswordPolicyError(f"unrecognized key or value on line {item.place.line} of a charset rule")
    if count_min < 0:
        raise PasswordPolicyError("min-chars cannot be negative")
    return Rule(charset, count_min)


def _number(name: str, node: Node) -> int:
    value = node.value if isinstance(node, hcl.Literal) else None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise PasswordPolicyError(f"{name} must be a whole number")
    return value
