"""A backup is the state at its index, written by one leader after another and by no deposed one.

The runner restores into an empty folder and looks into the sink; facts.json has

    backup: {"restored_index", "restored_digest",   of a node that was started from the backup alone
             "digest",                               of the cluster at that index, if the runner asked at that moment
             "batches": [[term of the claim, first index, last index], …],  in the order in which they were stored
             "error": why it could not be restored}

If the cluster's digest is not there, any node's own word about that index is looked for in the samples.
Invariant: batches of one generation follow each other without a gap, and terms of claims never fall.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from .base import Verdict, held, unknown, violated

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from chaos.folder import RunFolder


class Backup:
    """See the module's paragraph."""

    name: ClassVar[str] = "backup"
    verified: ClassVar[str] = (
        "a restore into an empty folder has the cluster's digest at its index; batches have no gap, and none of an "
        "older claim follows one of a newer"
    )
    not_verified: ClassVar[str] = "restores to other moments; a sink that loses what it confirmed, if nobody restores"

    def check(self, run: RunFolder) -> Verdict:
        """See Checker."""
        found: dict[str, Any] = run.facts.get("backup") or {}
        if not found:
            has_one = run.plan.get("scenario", {}).get("cluster", {}).get("backup")
            why = "the runner found nothing: the run was cut short" if has_one else "the scenario has no backup"
            return unknown(self, why)
        batches = found.get("batches") or []
        index, restored = found.get("restored_index"), found.get("restored_digest")
        known = _known(run, found, index)
        wrong = list(_order(batches))
        if found.get("error"):
            wrong.append(f"the backup could not be restored: {found['error']}")
        if restored is not None and known - {restored}:
            wrong.append(f"the restored state at index {index} is not the cluster's at that index")
        numbers: dict[str, Any] = {"batches": len(batches), "restored_index": index, "witnesses": len(known)}
        if wrong:
            return violated(self, f"{len(wrong)} faults of the backup", wrong, **numbers)
        if restored is None or not known:
            return unknown(self, "no digest to compare the restored state with", **numbers)
        if not batches:
            return unknown(self, "the sink holds no batch", **numbers)
        what = f"the state restored at index {index} is the cluster's; {len(batches)} batches are in order"
        return held(self, what, **numbers)


def _known(run: RunFolder, found: dict[str, Any], index: Any) -> set[Any]:
    """What nodes said their digest is at that index."""
    known = {found["digest"]} if found.get("digest") is not None else set()
    if index is None:
        return known
    known |= {digest for at, digest in (run.facts.get("digests") or {}).values() if at == index}
    return known | {
        one.status["digest"]
        for one in run.samples
        if one.status is not None and one.status.get("digest_index") == index and one.status.get("digest")
    }


def _order(batches: Sequence[Sequence[int]]) -> Iterable[str]:
    for older, newer in pairwise(batches):
        if newer[0] < older[0]:
            yield f"a batch of term {newer[0]} ({newer[1]} to {newer[2]}) was stored after one of term {older[0]}"
        if newer[1] != older[2] + 1:
            yield f"the batch that begins at {newer[1]} follows one that ends at {older[2]}"
    for _, first, last in batches:
        if last < first:
            yield f"a batch from {first} to {last}"
