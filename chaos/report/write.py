"""The files that a run's folder gets for its readers. Touches the folder and the file that was asked for, nothing else.

Invariant: a file is replaced as a whole, or not at all: what a browser has open is never half a page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos import history
from chaos.plan import PlanError
from chaos.verdict import described

from .junit import document
from .page import page
from .story import load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PAGE = "report.html"
JUNIT = "junit.xml"


def all_files(path: Path) -> None:
    """report.html and junit.xml stand in the folder, of whatever is there. Raises PlanError if it is no folder."""
    if not path.is_dir():
        raise PlanError(f"{path} is no run's folder")
    story = load(path)
    claims = {name: (verified, not_verified) for name, verified, not_verified in described()}
    _replace(path / PAGE, page(story, claims))
    _replace(path / JUNIT, document(story))


def edn_file(paths: Sequence[Path], out: Path) -> None:
    """The history of the one run in Jepsen's form. Raises PlanError if there are several: a file holds one history."""
    if len(paths) != 1:
        raise PlanError(f"a file in Jepsen's form holds the history of one run, not of {len(paths)}")
    try:
        events = history.read(paths[0] / "history.jsonl")
    except OSError as error:
        raise PlanError(f"{paths[0]} holds no history.jsonl") from error
    except (ValueError, KeyError, TypeError) as error:
        raise PlanError(f"history.jsonl of {paths[0]} cannot be read: {type(error).__name__}") from error
    _replace(out, "".join(f"{line}\n" for line in history.edn(events)))


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
