"""One fresh node answers the recorded requests as recorded: a few seconds of real HTTP against a real process."""

from __future__ import annotations

import pytest

from tests.conformance.contract_check import EQUAL_MIN, Counts, counts_of, run_contract

COMPLETE = ("init", "http", "kv1", "kv2", "kv2_config", "kv2_list", "mounts", "ui_mounts", "seal")
REPORT = """DIFF kv1#3 GET k1/a
     status: want 200, got 404
kv1: 1 of 2
TEXT kv2#1 GET kv2/a
     errors: golden ['x']
               got ['y']
kv2: 4 of 4
texts: 3 of 4 equal
contract: 5 of 6 equal
"""


@pytest.mark.process
def test_every_answer_of_a_finished_part_is_the_recorded_one():
    """A part that is built answers as recorded, and what was equal once stays equal. One run serves both."""
    counts = run_contract()
    differing = {scenario: counts.differences(scenario) for scenario in COMPLETE if not _is_equal(counts, scenario)}
    assert differing == {}
    assert counts.contract[1] == 944
    assert counts.contract[0] >= EQUAL_MIN


def _is_equal(counts: Counts, scenario: str) -> bool:
    equal, total = counts.scenarios[scenario]
    return 0 < total == equal


def test_the_counts_of_a_report_are_read():
    """Scenarios, whole and texts, each with its equal and its total."""
    counts = counts_of(REPORT)
    assert counts.scenarios == {"kv1": (1, 2), "kv2": (4, 4)}
    assert counts.contract == (5, 6)
    assert counts.texts == (3, 4)


def test_the_differences_of_one_scenario_are_found():
    """A failing test shows the lines of its own scenario only."""
    assert counts_of(REPORT).differences("kv1") == "DIFF kv1#3 GET k1/a\n     status: want 200, got 404\n"


def test_a_report_without_an_end_is_an_error():
    """A server that did not start is no count of zero."""
    with pytest.raises(RuntimeError, match="did not come to its end"):
        counts_of("kv1: 62 of 62\n", "the server did not answer")
