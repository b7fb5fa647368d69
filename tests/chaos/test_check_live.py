"""Gaps between acknowledged writes, budgets, and times until a node serves again."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.check.bands import end_of_load_ns
from chaos.check.live import Gap, Live, gaps
from chaos.check.recover import Recover
from chaos.check.words import is_write, quantile
from tests.chaos.histories import MS, NODES, Story

END_MS = 10_000
LEADER_GONE = (2000, 2800)


def steady(gap: tuple[int, int] = LEADER_GONE, *, budget_s: float = 1.0, read_gap: tuple[int, int] = (0, 0)) -> Story:
    """A write and a read of every node each 50 ms until 10 s; within the gaps they are tried in vain."""
    story = Story(write_gap_s={"kill": budget_s}, healed_ns=5_000 * MS, load_ended_ns=END_MS * MS)
    for at in range(0, END_MS, 50):
        down = gap[0] <= at < gap[1]
        story.op("write", "k", f"v{at}", at=(at, at + 5), outcome="fail" if down else "ok")
        for node in NODES:
            blind = node == "n3" and read_gap[0] <= at < read_gap[1]
            story.op("read", "k", at=(at + 10, at + 15), node=node, version=1, outcome="fail" if blind else "ok")
    return story


def killed(story: Story, nodes: tuple[str, ...] = ("n1",), leader: str = "n1", **more: object) -> Story:
    return story.fault("kill", nodes, 2000, 3000, leader=leader, **more)


def test_a_gap_within_its_budget_holds_and_is_a_distribution(tmp_path: Path) -> None:
    """By the fault's name and whether it hit the leader."""
    story = killed(steady()).fault("kill", ("n2",), 6000, 7000, leader="n1")
    verdict = Live().check(story.run(tmp_path))

    assert verdict.valid == "held", verdict
    assert verdict.numbers["writes"]["kill leader"] == {"count": 1, "p50_s": 0.805, "p100_s": 0.805}
    assert verdict.numbers["writes"]["kill follower"]["p100_s"] < 0.06
    assert verdict.numbers["reads"]["kill leader"]["count"] == 2


def test_a_gap_over_its_budget_is_violated_and_placed(tmp_path: Path) -> None:
    """With its length, its time and what was allowed."""
    verdict = Live().check(killed(steady(budget_s=0.5)).run(tmp_path))

    assert verdict.valid == "violated"
    assert verdict.details[0].startswith("fault 0 (kill leader): no acknowledged writes for 0.8")
    assert "allowed are 0.50 s" in verdict.details[0]


@pytest.mark.parametrize(
    ("stalls", "valid"),
    [
        ([], "violated"),
        ([[2_100 * MS, 2_500 * MS]], "unknown"),  # 0.8 s less 0.4 s is within the half second
        ([[1_000 * MS, 2_500 * MS]], "unknown"),
        ([[2_600 * MS, 9_000 * MS]], "violated"),  # 0.6 s are left
        ([[2_100 * MS, 2_200 * MS]], "violated"),
        ([[2_100 * MS, 2_300 * MS], [2_500 * MS, 2_700 * MS]], "unknown"),
        ([[4_000 * MS, 5_000 * MS]], "violated"),
    ],
)
def test_a_gap_that_is_the_runners_own_proves_nothing(tmp_path: Path, stalls: list[list[int]], valid: str) -> None:
    """Only as far as the runner stood still within it."""
    story = killed(steady(budget_s=0.5))
    story.facts["pulse"] = {"stalls": stalls}
    verdict = Live().check(story.run(tmp_path))

    assert verdict.valid == valid
    assert ("stood still" in verdict.summary) is (valid == "unknown")


def test_a_runner_that_stood_still_within_the_budget_is_nobodys_business(tmp_path: Path) -> None:
    """It is no reason for doubt."""
    story = killed(steady())
    story.facts["pulse"] = {"stalls": [[2_100 * MS, 2_500 * MS]]}

    assert Live().check(story.run(tmp_path)).valid == "held"


def test_without_a_write_after_healing_nothing_is_known_of_it(tmp_path: Path) -> None:
    """A load that ended with the last fault."""
    story = killed(steady())
    story.facts["healed_ns"] = END_MS * MS

    verdict = Live().check(story.run(tmp_path))
    assert (verdict.valid, verdict.summary) == ("unknown", "no write was tried after healing")


def test_the_scenarios_own_budget_counts_before_the_faults(tmp_path: Path) -> None:
    """Wider and narrower, from the fault's line or from the plan."""
    for name in "abc":
        (tmp_path / name).mkdir()
    planned = killed(steady(budget_s=0.5))
    planned.plan["steps"] = [{"number": 0, "nemesis": "kill", "write_gap_s": 2.0}]

    assert Live().check(killed(steady(budget_s=0.5), write_gap_s=2.0).run(tmp_path / "a")).valid == "held"
    assert Live().check(killed(steady(), write_gap_s=0.5).run(tmp_path / "b")).valid == "violated"
    assert Live().check(planned.run(tmp_path / "c")).valid == "held"


def test_a_gap_after_the_fault_within_its_band_belongs_to_it(tmp_path: Path) -> None:
    """What a heal causes: until a second after it; what comes later is nobody's."""
    (tmp_path / "b").mkdir()
    within, later = steady((3500, 4700)), steady((4100, 5300))

    assert Live().check(killed(within).run(tmp_path)).valid == "violated"
    assert Live().check(killed(later).run(tmp_path / "b")).valid == "held"


def test_time_without_a_majority_is_added_to_a_nemesis_own_budget(tmp_path: Path) -> None:
    """Writes cannot be acknowledged then; but soon after."""
    (tmp_path / "b").mkdir()
    fits, too_long = steady((2000, 3900)), steady((2000, 4200))
    verdict = Live().check(killed(fits, ("n1", "n2")).run(tmp_path))

    assert verdict.valid == "held", verdict
    assert "kill quorum" in verdict.numbers["writes"]
    assert Live().check(killed(too_long, ("n1", "n2")).run(tmp_path / "b")).valid == "violated"


def test_two_faults_at_once_can_take_the_majority_together(tmp_path: Path) -> None:
    """Each hits one node."""
    story = killed(steady((2000, 3900))).fault("kill", ("n2",), 2100, 3000, leader="n1")

    assert Live().check(story.run(tmp_path)).valid == "held"


def test_reads_of_a_node_that_is_not_hit_have_the_same_budget(tmp_path: Path) -> None:
    """Those of a node that is hit have none, nor where no majority is left."""
    for name in "abc":
        (tmp_path / name).mkdir()
    blind = (2000, 3500)
    verdict = Live().check(killed(steady((0, 0), read_gap=blind)).run(tmp_path / "a"))

    assert verdict.valid == "violated"
    assert "no reads at n3 for 1.5" in verdict.details[0]
    assert Live().check(killed(steady((0, 0), read_gap=blind), ("n3",)).run(tmp_path / "b")).valid == "held"
    assert Live().check(killed(steady((0, 0), read_gap=blind), ("n1", "n2")).run(tmp_path / "c")).valid == "held"


def cut(grudge: dict[str, list[str]], victims: tuple[str, ...]) -> Story:
    """n3 does not answer reads while that partition holds."""
    story = steady((0, 0), read_gap=(2000, 3500))
    story.facts["write_gap_s"] = {"halves": 1.0}
    return story.fault("halves", victims, 2000, 3000, leader="n1", grudge=grudge)


@pytest.mark.parametrize(
    ("grudge", "victims"),
    [
        ({"n3": ["n1", "n2"], "n1": ["n3"], "n2": ["n3"]}, ()),  # n3 is cut off, though it is no victim
        ({"n3": ["n1", "n2"]}, ()),  # it hears nobody
        ({"n1": ["n3"], "n3": ["n1"]}, ()),  # it hears one of two that lead or may lead
        ({"n1": ["n3"], "n3": ["n1"]}, ("n2",)),  # the only one between them is hit
    ],
)
def test_reads_of_a_node_that_a_partition_disturbs_are_not_judged(
    grudge: dict[str, list[str]], victims: tuple[str, ...], tmp_path: Path
) -> None:
    """Whoever is named as the victim."""
    verdict = Live().check(cut(grudge, victims).run(tmp_path))

    assert verdict.valid == "held", verdict


def test_reads_of_the_side_that_holds_a_majority_are_judged(tmp_path: Path) -> None:
    """n3 hears n2, and n1 alone is cut off."""
    grudge = {"n1": ["n2", "n3"], "n2": ["n1"], "n3": ["n1"]}

    assert Live().check(cut(grudge, ("n1",)).run(tmp_path)).valid == "violated"


def test_silence_of_clients_is_no_outage() -> None:
    """A gap begins with who waits, and an unanswered request waits."""
    story = Story().op("write", at=(0, 10)).op("write", at=(5000, 5010)).op("write", at=(5005, 9000), outcome="info")
    story.op("write", at=(5020, 5030)).op("read", at=(6000, 6010))

    found = gaps(story.events, is_write, 10_000 * MS)
    assert [(gap.began_ns / MS, gap.ended_ns / MS) for gap in found] == [
        (0, 10), (5000, 5010), (5010, 5030), (5030, 10_000),
    ]  # fmt: skip
    assert found[0] == Gap(0, 10 * MS)


def test_no_progress_after_healing_is_violated(tmp_path: Path) -> None:
    """Of the whole cluster, and of a core that alone was healed."""
    (tmp_path / "b").mkdir()
    stuck = killed(steady((5000, END_MS)))
    core = steady((5000, END_MS)).fault("kill", ("n1",), 2000, None, leader="n1", write_gap_s=100.0)
    core.plan["scenario"]["end"] = "core"

    assert "the cluster made no progress" in Live().check(stuck.run(tmp_path)).details[-1]
    assert "the core made no progress" in Live().check(core.run(tmp_path / "b")).details[-1]


def test_a_fault_that_lasts_for_ever_is_judged_until_the_load_ends(tmp_path: Path) -> None:
    """Held and violated."""
    (tmp_path / "b").mkdir()
    core = steady().fault("kill", ("n1",), 2000, None, leader="n1")
    late = steady((8000, 9900)).fault("kill", ("n1",), 2000, None, leader="n1")

    assert Live().check(core.run(tmp_path)).valid == "held"
    assert Live().check(late.run(tmp_path / "b")).valid == "violated"


def test_what_nobody_gave_a_budget_is_unknown(tmp_path: Path) -> None:
    """So is a run that was cut short, and one without writes in the band; without faults it is skipped."""
    for name in "abcde":
        (tmp_path / name).mkdir()
    never_healed = killed(steady(), write_gap_s=2.0)
    del never_healed.facts["healed_ns"]
    nobody = steady().fault("pause", ("n1",), 2000, 3000, leader="n1")
    cut = killed(steady(), write_gap_s=2.0)
    del cut.facts["load_ended_ns"]
    silent = killed(Story(write_gap_s={"kill": 1.0}, healed_ns=MS, load_ended_ns=9000 * MS).op("read", "k", version=0))

    assert "no budget is known for pause" in Live().check(nobody.run(tmp_path / "a")).summary
    assert Live().check(cut.run(tmp_path / "b")).valid == "unknown"
    assert Live().check(never_healed.run(tmp_path / "e")).valid == "unknown"
    assert Live().check(silent.run(tmp_path / "c")).valid == "unknown"
    assert Live().check(steady().run(tmp_path / "d")).valid == "skipped"


def test_a_fault_without_victims_hits_nobody(tmp_path: Path) -> None:
    """Its band is measured all the same."""
    verdict = Live().check(killed(steady((0, 0)), ()).run(tmp_path))

    assert list(verdict.numbers["writes"]) == ["kill nobody"]


def test_the_load_ends_with_its_last_invocation_where_nobody_says_when(tmp_path: Path) -> None:
    """Last reads are no load."""
    story = Story().op("read", "k", version=0, at=(10, 20)).op("read", "k", version=0, at=(30, 40), final=True)

    assert end_of_load_ns(story.run(tmp_path)) == 10 * MS


def test_the_leader_is_known_from_samples_where_the_fault_does_not_say(tmp_path: Path) -> None:
    """The last that said so before the fault."""
    story = steady().fault("kill", ("n2",), 2000, 3000)
    story.sample("n1", 100, role="leader", term=1).sample("n2", 1900, role="leader", term=2).sample(
        "n1", 2100, role="leader", term=3
    )

    assert "kill leader" in Live().check(story.run(tmp_path)).numbers["writes"]


# ---- recover
def sampled(ready_at: float | None, *, until: float = 9000, node: str = "n1") -> Story:
    """n1 is killed from 2 to 3 s, and serves again at that time."""
    story = Story().fault("kill", (node,), 2000, 3000)
    for at in range(0, int(until), 100):
        ready = at < 2000 or (ready_at is not None and at >= ready_at)
        story.sample(node, at, ready=ready).sample("n2", at)
    return story


def test_recovery_is_the_time_from_the_faults_end_to_the_first_sample_that_serves(tmp_path: Path) -> None:
    """As a distribution by the fault's name."""
    verdict = Recover().check(sampled(4200).run(tmp_path))

    assert verdict.valid == "held", verdict
    assert verdict.numbers["recover"] == {"kill": {"count": 1, "p50_s": 1.2, "p100_s": 1.2}}


def test_a_recovery_that_takes_too_long_is_violated(tmp_path: Path) -> None:
    """By the usual limit, or the runner's; whether it served in the end or not."""
    for name in "abc":
        (tmp_path / name).mkdir()
    strict = sampled(4200)
    strict.facts["recover_s_max"] = 1.0

    assert Recover().check(sampled(34_000, until=36_000).run(tmp_path / "a")).valid == "violated"
    assert Recover().check(sampled(None, until=36_000).run(tmp_path / "b")).valid == "violated"
    assert Recover().check(strict.run(tmp_path / "c")).valid == "violated"


def test_samples_that_end_too_early_are_unknown(tmp_path: Path) -> None:
    """Nobody saw it serve, nor fail for long enough; and where nothing was broken it is skipped."""
    for name in "abc":
        (tmp_path / name).mkdir()

    assert Recover().check(sampled(None, until=9000).run(tmp_path / "a")).valid == "unknown"
    assert Recover().check(sampled(None, until=2500).run(tmp_path / "b")).valid == "unknown"
    assert Recover().check(Story().run(tmp_path / "c")).valid == "skipped"


def test_one_recovery_that_nobody_saw_makes_it_unknown(tmp_path: Path) -> None:
    """Though another was seen; and what was seen of it is shorter than what is allowed."""
    story = sampled(4200).fault("pause", ("n1",), 8000, 8990)
    blind = sampled(None, until=9000)
    blind.facts["recover_s_max"] = 8.0
    (tmp_path / "b").mkdir()

    verdict = Recover().check(story.run(tmp_path))
    assert (verdict.valid, verdict.numbers["undecided"]) == ("unknown", 1)
    assert Recover().check(blind.run(tmp_path / "b")).valid == "unknown"


def test_a_node_that_is_hit_again_before_it_serves_counts_once(tmp_path: Path) -> None:
    """For the second time; of the first nothing can be said, and that is counted."""
    story = sampled(5200).fault("pause", ("n1",), 3050, 5000)
    verdict = Recover().check(story.run(tmp_path))

    assert verdict.valid == "held", verdict
    assert verdict.numbers["hit_again"] == 1
    assert verdict.numbers["recover"] == {"pause": {"count": 1, "p50_s": 0.2, "p100_s": 0.2}}


def test_a_node_that_stays_broken_is_not_waited_for(tmp_path: Path) -> None:
    """It is not of the core, or its fault was never healed."""
    (tmp_path / "b").mkdir()
    story = sampled(None, until=40_000)
    story.facts["whole"] = ["n2", "n3"]
    never = Story().fault("kill", ("n1",), 2000, None).sample("n1", 50_000, ready=False)

    assert Recover().check(story.run(tmp_path)).valid == "unknown"
    assert Recover().check(never.run(tmp_path / "b")).valid == "unknown"


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 2), (0.75, 3), (1.0, 4)])
def test_quantiles_are_values_that_occurred(share: float, value: float) -> None:
    """No mean between two of them."""
    assert quantile([4, 1, 3, 2], share) == value
