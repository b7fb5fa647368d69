"""`operator recover`: what survived is assessed, somebody says yes, and a new line of history begins. A shell.

Source: docs/backup.md; docs/runbook.md.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from cluster import (
    Recovering,
    SystemClock,
    SystemDisk,
    SystemRandom,
    Wish,
    envelopes_of,
    read_seal,
)

from ..status import rfc3339, uuid_of
from .jobs import RootTokenMaker, folders, free_folders, silent
from .places import opened

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cluster import Assessment

    from .jobs import OnProgress
    from .keys import Keys
    from .places import Place
    from .wanted import Wanted


def seal_of(survivors: Sequence[Path]) -> tuple[str, int]:
    """(type, threshold) of the newest seal in the folders; ("", 0) if none of them is a member's.

    Raises DamagedError, OSError.
    """
    found = envelopes_of({str(path): SystemDisk(path) for path in survivors if path.is_dir()})
    seals = [read_seal(envelope)[1] for _, envelope in found]
    newest = max(seals, key=lambda seal: seal.epoch, default=None)
    return ("", 0) if newest is None else (newest.type, newest.threshold)


async def recovered(
    survivors: Sequence[Path], place: Place | None, wanted: Wanted, keys: Keys, *, keep_tokens: bool, fork: bool,
    agree: Callable[[dict[str, Any]], None], on_progress: OnProgress = silent,
) -> dict[str, Any]:  # fmt: skip
    """The folders are members' of a new cluster. `agree` is called with the assessment, and raises to stop it."""
    random = SystemRandom()
    maker = RootTokenMaker(random, always=False)
    async with AsyncExitStack() as stack:
        sink = None if place is None else await stack.enter_async_context(opened(place, reads_only=True))
        disks = stack.enter_context(folders(survivors))
        named = dict(zip((str(path) for path in survivors), disks, strict=True))
        work = Recovering(named, sink, keys.open, SystemClock(), random, on_progress)
        try:
            assessment = await work.assess()
            shown = assessment_json(assessment)
            agree(shown)
            targets = stack.enter_context(free_folders(wanted.folders, wanted.profile))
            done = await work.run(
                assessment.best, wanted.members, wanted.profile, Wish(keep_tokens), targets, maker.extra, fork=fork
            )
        finally:
            work.wipe()
    return {
        **shown,
        "generation": uuid_of(done["generation"]),
        "parent": uuid_of(assessment.best.generation),
        "digest": done["digest"].hex(),
        "tokens": "kept" if keep_tokens else "void",
        "folders": len(wanted.folders),
        "root_token": maker.token,
    }


def assessment_json(found: Assessment) -> dict[str, Any]:
    """What is there, and what is lost. Pure."""
    best = found.best
    return {
        "from": best.name,
        "index": best.index,
        "time": rfc3339(best.time_ns),
        "lost": None if found.lost is None else list(found.lost),
        "unsure": None if found.unsure is None else list(found.unsure),
        "left_out": found.left_out or None,
        "sources": [
            {
                "from": one.name,
                "index": one.index,
                "term": one.term,
                "time": rfc3339(one.time_ns),
                "damaged": one.damaged,
            }
            for one in found.sources
        ],
    }
