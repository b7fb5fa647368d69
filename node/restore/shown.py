"""What a backup is, as JSON: generations, runs, seals, gaps; and the report of a restore. Pure."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from ..status import rfc3339, uuid_of

if TYPE_CHECKING:
    from cluster import Change, Report, Run, Survey


def survey_json(survey: Survey) -> dict[str, Any]:
    """One generation."""
    generation, found = survey.generation, survey.runs
    spans = merged(found)
    return {
        "generation": uuid_of(generation.generation),
        "parent": uuid_of(generation.parent),
        "parent_index": generation.parent_index,
        "began": rfc3339(generation.began_ns),
        "first": spans[0][0] if spans else None,
        "last": spans[-1][1] if spans else None,
        "from": rfc3339(min(run.base[0].time_ns for run in found)) if found else None,
        "to": rfc3339(max(run.time_ns for run in found)) if found else None,
        "bases": [_run_json(run) for run in found],
        "seals": [
            {
                "from_index": one.first,
                "epoch": one.seal.epoch,
                "type": one.seal.type,
                "shares": one.seal.shares,
                "threshold": one.seal.threshold,
            }
            for one in survey.seals
        ],
        "gaps": [[before[1] + 1, after[0] - 1] for before, after in itertools.pairwise(spans)],
        "beyond_a_gap": None if survey.gap is None else [survey.gap[0] + 1, survey.gap[1]],
        "size_bytes": survey.size_bytes,
    }


def merged(found: list[Run]) -> list[tuple[int, int]]:
    """(first, last) of each span without a gap in which every index can be restored, lowest first."""
    spans: list[tuple[int, int]] = []
    for run in sorted(found, key=lambda run: run.first):
        if spans and run.first <= spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], max(spans[-1][1], run.last))
        else:
            spans.append((run.first, run.last))
    return spans


def _run_json(run: Run) -> dict[str, Any]:
    return {
        "index": run.first,
        "time": rfc3339(run.base[0].time_ns),
        "parts": len(run.base),
        "size_bytes": sum(one.size for one in run.base),
        "batches_behind": len(run.batches),
        "reaches": run.last,
        "reaches_time": rfc3339(run.time_ns),
    }


def report_json(report: Report, root_token: str | None) -> dict[str, Any]:
    """What a restore did."""
    lost = report.lost
    return {
        "generation": uuid_of(report.generation),
        "parent": uuid_of(report.parent),
        "index": report.at_index,
        "time": rfc3339(report.time_ns),
        "digest": report.digest.hex(),
        "newest_index": report.newest_index,
        "newest_time": rfc3339(report.newest_time_ns),
        "lost": None if lost is None else list(lost),
        "newer_generation": uuid_of(report.newer_generation) or None,
        "not_opened_from": report.left_out_from,
        "tokens": "void" if report.tokens_void else "kept",
        "access_changes": [change_json(one) for one in report.changes],
        "access_unknown": report.access_unknown,
        "folders": report.laid_out,
        "root_token": root_token,
    }


def change_json(change: Change) -> dict[str, str]:
    """One access record that is in its newer form. Keys that are no text are shown as hex."""
    try:
        key = change.key.decode()
    except UnicodeDecodeError:
        key = change.key.hex()
    name = key if key.isprintable() else change.key.hex()
    return {"kind": change.table.name.lower(), "name": name, "what": change.what}

