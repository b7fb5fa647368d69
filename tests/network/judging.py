"""What a history must hold, as a function of what was acknowledged and what each node has. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.network.writers import Acknowledged

History = dict[int, str]  # version → by
PROBLEMS_MAX = 20


@dataclass
class Verdict:
    """`lost`: of each node, how many acknowledged writes it does not have as they were acknowledged."""

    acknowledged: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.problems and not any(self.lost.values())

    def say(self, problem: str) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(problem)


def paths_of(acknowledged: Iterable[Acknowledged], unresolved: Iterable[tuple[str, str]]) -> list[str]:
    """Everything that may have been written."""
    return sorted({one.path for one in acknowledged} | {path for path, _ in unresolved})


def judge(
    acknowledged: list[Acknowledged],
    unresolved: Iterable[tuple[str, str]],
    nodes: Mapping[str, Mapping[str, History]],
) -> Verdict:
    """`nodes`: of each node, the history of each path. Nothing is lost, doubled, invented, and versions are dense."""
    verdict = Verdict(len(acknowledged))
    wanted: dict[str, History] = {}
    for one in acknowledged:
        given = wanted.setdefault(one.path, {}).setdefault(one.version, one.by)
        if given != one.by:
            verdict.say(f"{one.path} version {one.version} was given to {given} and to {one.by}")
    open_writes = set(unresolved)
    for name, histories in nodes.items():
        verdict.lost[name] = sum(histories.get(one.path, {}).get(one.version) != one.by for one in acknowledged)
        for path in sorted(wanted.keys() | histories.keys()):
            for problem in _judge_path(path, wanted.get(path, {}), histories.get(path, {}), open_writes):
                verdict.say(f"{name}: {problem}")
    return verdict


def _judge_path(path: str, wanted: History, found: History, open_writes: set[tuple[str, str]]) -> list[str]:
    problems = []
    missing = [version for version in sorted(wanted) if found.get(version) != wanted[version]]
    if missing:
        problems.append(f"{path}: lost are versions {missing[:10]}, {len(missing)} in all")
    if sorted(found) != list(range(1, len(found) + 1)):
        problems.append(f"{path}: versions are not dense")
    twice = [by for by, count in Counter(found.values()).items() if count > 1]
    if twice:
        problems.append(f"{path}: executed twice: {twice[:10]}")
    extra = [by for version, by in found.items() if version not in wanted and (path, by) not in open_writes]
    if extra:
        problems.append(f"{path}: written, but neither acknowledged nor open: {extra[:10]}")
    return problems
