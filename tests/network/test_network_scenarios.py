"""Short forms of `python -m tests.network`: real processes behind proxies, one of each fault, a few seconds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.network.__main__ import NAMES, main, scenarios
from tests.network.bad_links import Rounds, play_rounds
from tests.network.certificate import rotate
from tests.network.far import Far, far_cluster
from tests.network.hasty import HastyServer
from tests.network.reading import look
from tests.network.result import Result
from tests.network.secure import SecureServer, speak_tls
from tests.network.wiped import wipe_two
from tests.network.writing import writing

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    """Three nodes with 20 ms between them, their API over TLS; each test leaves it whole."""
    with far_cluster(tmp_path_factory.mktemp("far"), server_type=SecureServer, change=speak_tls) as made:
        yield made


def whole(result: Result) -> bool:
    print(result)
    return result.acknowledged > 0 and result.holds


def test_nothing_acknowledged_is_lost_when_a_leader_dies_with_bytes_in_flight(far: Far) -> None:
    """One follower is down meanwhile, connections are reset and cut; what the leader had sent never arrives."""
    result = Result("one round")
    play_rounds(far, Rounds(rounds=1, writers=24, acks=300, load_s=1.5), result)

    assert whole(result), result
    assert result.notes["bytes lost in flight"] > 0
    assert (result.notes["deaths"], result.notes["resets"] + result.notes["cuts"] > 0) == (1, True)


def test_certificates_are_replaced_under_load(far: Far) -> None:
    """The API's by SIGHUP, which breaks no connection; the nodes' in turn, each with a new key."""
    result = Result("certificates")
    rotate(far, 8, result, authority_too=False)

    assert whole(result), result
    assert result.notes["hand-overs"] >= 1


def test_two_nodes_lose_their_disks_one_after_the_other(far: Far) -> None:
    """The second when the first votes again: two of three disks are new, and nothing is lost."""
    result = Result("wiped")
    wipe_two(far, 16, 100, result)

    assert whole(result), result


def test_a_leader_that_acknowledges_too_early_is_found_out(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The twin: a mutant that commits what only it has loses writes, and the same judge says so.

    What it sends is held up before its host dies, for less than an election takes, so that there is something to lose.
    """
    with far_cluster(tmp_path_factory.mktemp("hasty"), server_type=HastyServer) as hasty:
        with writing(hasty, tag="hasty", writers=64) as writers:
            writers.wait_for(100)
            leader = hasty.cluster.leader()
            survivors = [server for server in hasty.cluster.servers if server is not leader]
            for server in survivors:
                hasty.cut(leader, server)
            writers.gap_after(time.monotonic())  # a write that no other node can have was acknowledged
            hasty.host_dies(leader)
            hasty.heal()
            writers.gap_after(time.monotonic())
        verdict = look(hasty, survivors, writers)
    print(verdict)

    assert not verdict.holds
    assert all(lost > 0 for lost in verdict.lost.values())


def test_scenarios_are_chosen_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    """All by default; an unknown one is an error before anything starts."""
    from tests.network.__main__ import parse

    assert tuple(scenarios(parse([]))) == NAMES
    assert tuple(scenarios(parse(["--only", "down,wiped"]))) == ("wiped", "down")
    with pytest.raises(SystemExit, match="2"):
        main(["--only", "bad-links,typo"])
    assert "there is no scenario typo" in capsys.readouterr().err
