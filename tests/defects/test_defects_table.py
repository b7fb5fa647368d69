"""The table of defects is whole: nothing is listed without its tests, and no test stands beside the list."""

from __future__ import annotations

import pytest

from tests.defects.table import DEFECTS, all_tests, markdown, shown_by


def test_every_known_defect_is_listed() -> None:
    """Ten of safety, twelve of liveness, and what was found besides."""
    wanted = [f"S{number}" for number in range(1, 11)] + [f"L{number}" for number in range(1, 13)]

    assert [name for name in DEFECTS if name[0] != "A"] == wanted


@pytest.mark.parametrize("defect", DEFECTS)
def test_every_defect_is_shown_in_the_library_and_harmless_in_ours(defect: str) -> None:
    """At least one test on each side."""
    assert shown_by("stock", defect) != []
    assert shown_by("ours", defect) != []


def test_every_test_belongs_to_a_defect() -> None:
    """By its name; a misspelt one would stand nowhere."""
    listed = [name for defect in DEFECTS for side in ("stock", "ours") for name in shown_by(side, defect)]

    assert sorted(listed) == sorted(all_tests())


def test_the_table_has_a_row_for_each_defect() -> None:
    """As it is printed."""
    assert [row.split("|")[1].strip() for row in markdown().splitlines()[2:]] == list(DEFECTS)
