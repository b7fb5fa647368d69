"""Networks of tokens: a use from outside that was good is a violation; one that nobody answered says nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from chaos.check.origin import Origin
from chaos.check.rates import Rates
from chaos.folder import RunFolder
from chaos.history import Event

if TYPE_CHECKING:
    from pathlib import Path


def run_of(folder: Path, *completions: tuple[str, dict[str, Any] | None]) -> RunFolder:
    """A spoofed read for each (type, more of the completion), every one with a claim."""
    lines = []
    for number, (kind, more) in enumerate(completions):
        claim = {"claims": ["X-Forwarded-For"]}
        lines.append(Event(2 * number, 2 * number, "invoke", number, "spoof", "bound", "read", more=claim).line())
        lines.append(Event(2 * number + 1, 2 * number + 1, kind, number, "spoof", "bound", more=more).line())  # type: ignore[arg-type]
    (folder / "history.jsonl").write_text("".join(line + "\n" for line in lines))
    return RunFolder(folder)


@pytest.mark.parametrize(
    ("completions", "valid"),
    [
        ([("fail", {"denied": True}), ("fail", {"denied": True})], "held"),
        ([("fail", {"denied": True}), ("ok", None)], "violated"),
        ([("fail", {}), ("info", None)], "unknown"),
        ([], "skipped"),
    ],
)
def test_a_bound_token_is_good_for_nobody_outside(
    tmp_path: Path, completions: list[tuple[str, dict[str, Any] | None]], valid: str
) -> None:
    """Only a denial of a use that claimed the network shows anything."""
    found = Origin().check(run_of(tmp_path, *completions))

    assert found.valid == valid
    assert found.operations == ((2,) if valid == "violated" else ())


def test_a_denial_is_what_a_spoof_is_for(tmp_path: Path) -> None:
    """The rates count it as done; a denial of anything else is none."""
    run = run_of(tmp_path, ("fail", {"denied": True}))
    (tmp_path / "facts.json").write_text(json.dumps({"read": True}))

    assert Rates().check(run).numbers["by_f"]["spoof"]["ok"] == 1
