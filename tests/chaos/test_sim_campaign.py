"""Many seeds in several processes: each seed counts once, also the one that a process ends at."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from chaos.sim import campaign
from chaos.sim.campaign import Job

if TYPE_CHECKING:
    from pathlib import Path

WORKER = """
import json, os, signal, sys
words = dict(zip(sys.argv[2::2], sys.argv[3::2]))
first, jobs, count = (int(words[name]) for name in ("--first", "--jobs", "--seeds"))
for seed in range(first, first + count, jobs):
    if seed in {ends}:
        print('{{"seed"', end="", flush=True)
        os.kill(os.getpid(), signal.{signal})
    line = {{"seed": seed, "config": "tcp", "script": None, "nodes": 3, "violations": []}}
    line |= {{"stats": {{"n": 1}}, "seconds": 1}}
    print(json.dumps(line), flush=True)
"""


@pytest.mark.parametrize("ends", [(), (103,), (100, 101, 105), (108,), tuple(range(100, 109))])
@pytest.mark.parametrize("jobs", [2, 4])
def test_a_seed_that_ends_its_process_has_failed_and_the_rest_are_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ends: tuple[int, ...], jobs: int
) -> None:
    """Whichever it is, and however many of them."""
    program = tmp_path / "worker.py"
    program.write_text(WORKER.format(ends=set(ends) or "()", signal="SIGSEGV"), encoding="utf-8")
    monkeypatch.setattr(campaign, "PROGRAM", (sys.executable, str(program)))
    report = campaign.campaign(Job(100, 9, jobs))

    assert sum(report.seeds.values()) == 9
    assert sorted(line["seed"] for line in report.failures) == list(ends)
    assert {line["violations"][0] for line in report.failures} <= {"the process that ran it ended with -11"}
    assert sum(tally.stats["n"] for tally in report.configs.values()) == 9 - len(ends)


def test_a_worker_runs_its_share() -> None:
    """For real: the same seeds in one process and in two."""
    alone, shared = (campaign.campaign(Job(9_000_001, 2, jobs)) for jobs in (1, 2))

    assert alone.failures == shared.failures == []
    assert alone.as_json()["configs"] == shared.as_json()["configs"]
