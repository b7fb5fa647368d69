"""The checkers of linearizability against each other, on few histories; the command does it on many."""

from __future__ import annotations

import pytest

from chaos.check import selftest
from chaos.check.witness import impossible


def test_the_witness_never_rejects_what_the_search_accepts() -> None:
    """Three hundred random histories, right and wrong."""
    tally = selftest.tallied(300, seed=7)

    assert tally.wrong == []
    assert tally.legal > 100
    assert tally.rejected > 40
    assert tally.missed <= 2


def test_a_disagreement_is_told_and_ends_with_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A witness that rejects whatever has an unknown operation is found out."""

    def harsh(operations: list) -> object:
        return impossible(operations) or (operations if any(one.outcome == "info" for one in operations) else None)

    monkeypatch.setattr(selftest, "impossible", harsh)

    assert selftest.main(["--histories", "100", "--seed", "3"]) == 1
    assert "rejected a history that has an order: seed 3/" in capsys.readouterr().out


def test_a_witness_that_rejects_nothing_ends_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A comparison that nothing is rejected in has shown nothing."""
    monkeypatch.setattr(selftest, "impossible", lambda operations: None)

    assert selftest.main(["--histories", "50", "--seed", "3"]) == 1


def test_agreement_ends_with_nought(capsys: pytest.CaptureFixture[str]) -> None:
    """And says in one line what was compared."""
    assert selftest.main(["--histories", "100", "--seed", "3"]) == 0
    assert capsys.readouterr().out.startswith("100 histories: ")
