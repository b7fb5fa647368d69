"""Short forms of `python -m tests.backup`: real nodes, a real PostgreSQL behind proxies, one of each kind of fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cluster.backup.sinks.base import stored_of
from tests.backup.__main__ import NAMES, main, parse, scenarios
from tests.backup.claims import cut_off_leader, stopped_leader
from tests.backup.faults import Hung, Killed, Reset
from tests.backup.judging import chain_problems
from tests.backup.pushed import Rate
from tests.backup.sink_faults import faults_under_load
from tests.backup.stage import Stage, postgres_stage
from tests.cluster.backup.crafting import batch, chain, part
from tests.network.result import Result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.backup.sinks.base import Stored
    from tests.cluster.backup.crafting import Object

RATE = Rate(per_s=150.0, writers=8)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Three nodes and a PostgreSQL; each test leaves them whole."""
    with postgres_stage(tmp_path_factory.mktemp("stage")) as made:
        yield made


def whole(result: Result) -> bool:
    print(result)
    return result.acknowledged > 0 and result.holds


@pytest.mark.process
@pytest.mark.timeout(240)
def test_clients_notice_nothing_of_a_sink_that_is_killed_hung_and_reset(stage: Stage) -> None:
    """The lag rises and returns to zero; no batch is lost, doubled or partial; the digest is the nodes'."""
    result = Result("faults")
    faults_under_load(stage, [Killed(), Hung(), Reset()], RATE, result, fault_s=1.0, tag="faults", all_nodes=True)

    assert whole(result), result


@pytest.mark.process
@pytest.mark.timeout(240)
def test_a_leader_stopped_during_a_batch_is_fenced(stage: Stage) -> None:
    """Half of its batch has arrived and the rest comes when another leads: the sink is not held up, and takes none."""
    result = Result("stopped")
    stopped_leader(stage, RATE, result, tag="stopped")

    assert whole(result), result


@pytest.mark.process
@pytest.mark.timeout(240)
def test_a_leader_cut_off_from_the_members_does_not_keep_the_sink(stage: Stage) -> None:
    """It reaches the sink as before, but another leads, claims and stores; there is one chain."""
    result = Result("cut off")
    cut_off_leader(stage, RATE, result, tag="cut-off")

    assert whole(result), result


def shown(*objects: Object) -> list[Stored]:
    return [stored_of(parsed, len(data)) for data, parsed in objects]


def test_a_chain_that_is_not_whole_is_found_out() -> None:
    """The judge's own twin: lost, doubled, forked; and a whole one, also with a base in between."""
    base, one, two, three = chain(3)
    other = batch(12, 21, one, box=b"another")
    again = part(21, name=b"base-two")
    after = batch(22, 31, again)

    assert chain_problems(shown(base, one, two, three)) == []
    assert chain_problems(shown(base, one, again, after)) == []
    assert any("follows nothing" in text for text in chain_problems(shown(base, one, three)))
    assert any("overlap" in text for text in chain_problems(shown(base, one, two, batch(12, 31, one))))
    assert any("another object" in text for text in chain_problems(shown(base, one, other, three)))


def test_scenarios_are_chosen_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    """All by default; an unknown one is an error before anything starts."""
    assert tuple(scenarios(parse([]))) == NAMES
    assert tuple(scenarios(parse(["--only", "large,s3"]))) == ("s3", "large")
    with pytest.raises(SystemExit, match="2"):
        main(["--only", "postgres,typo"])
    assert "there is no scenario typo" in capsys.readouterr().err
