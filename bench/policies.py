"""How long a policy's decision takes with 10, 100 and 1,000 rules, and how long it takes to compile them.

Runs in this process, without a node: what is measured is the function that every request goes through. Each line's
yardstick is the same decision among the fewest rules: a ratio of 1 says that rules cost nothing.
"""

from __future__ import annotations

import random
import statistics
import time
from typing import TYPE_CHECKING

from node.policy import Acl, Document, builtin, parse_policy

from .figures import Figure, Yardstick

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .options import Sizes

GROUP = "policies"
# What rules are called where they are written: a team's secrets by name, by folder, by mount, whichever environment.
KINDS = {
    "exact": "secret/data/team-{0:02d}/app-{1:04d}/config",
    "prefix": "secret/data/team-{0:02d}/app-{1:04d}/*",
    "plus": "secret/data/+/app-{1:04d}/+",
    "plus and prefix": "secret/+/team-{0:02d}/app-{1:04d}/*",
}
PATHS = 500
ROUNDS = 9
POLICY_RULES = 250  # a policy has a longest text


def measure(sizes: Sizes, _folder: Path) -> Iterator[Figure]:
    """See the module's paragraph."""
    for kind, pattern in KINDS.items():
        fewest: Yardstick | None = None
        for count in sizes.rules:
            documents = documents_of(pattern, count)
            began_s = time.perf_counter()
            acl = Acl.compile(documents)
            compile_ms = (time.perf_counter() - began_s) * 1e3
            numbers = {"us": decision_us(acl, pattern, count), "denied_us": decision_us(acl, pattern, 0)}
            name = f"policy decision, {kind}, {count:,} rules"
            fewest = fewest or Yardstick(f"{count} rules", numbers)
            yield Figure(GROUP, name, {**numbers, "compile_ms": compile_ms}, fewest)


def documents_of(pattern: str, count: int) -> list[tuple[str, Document]]:
    """The standard policy, and so many rules of the pattern in as many policies as they need."""
    paths = [path_of(pattern, number) for number in range(count)]
    texts = [
        "\n".join(f'path "{path}" {{ capabilities = ["read"] }}' for path in paths[first : first + POLICY_RULES])
        for first in range(0, count, POLICY_RULES)
    ]
    written = [(f"bench-{number}", parse_policy(text)) for number, text in enumerate(texts)]
    return [("default", parse_policy(builtin.DEFAULT_TEXT)), *written]


def path_of(pattern: str, number: int) -> str:
    """The pattern of one application."""
    return pattern.format(number % 50, number)


def decision_us(acl: Acl, pattern: str, count: int) -> float:
    """The median time of one decision over paths of random rules; with a count of 0, over paths that none names."""
    source = random.Random(count)
    numbers = [source.randrange(count) if count else source.randrange(5_000, 10_000) for _ in range(PATHS)]
    paths = [path_of(pattern, number).replace("+", "x").replace("*", "y/z") for number in numbers]
    if any(acl.check("read", path).allowed != bool(count) for path in paths):
        raise AssertionError("the policy does not say what this measures")
    check, rounds = acl.check, []
    for _ in range(ROUNDS):
        began_s = time.perf_counter()
        for path in paths:
            check("read", path)
        rounds.append((time.perf_counter() - began_s) / PATHS * 1e6)
    return statistics.median(rounds)
