"""What the backup is worth at the end of a run: read as whoever lost everything would, by the command line.

The sink must reach the cluster's newest entry; every object of it opens and applies; the state that it leads to at an
index is restored into memory, and its digest compared by the checker `backup` with the one that nodes had there.
Touches the sink, by reading. Invariant: what could not be done is an error of the backup only where the program itself
says so; a command that did not end in time is one, too, for nobody could wait for it either.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from typing import TYPE_CHECKING, Any, Final

from cluster import open_sink

from .targets.node import STRONGROOM

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cluster.backup.sinks.base import Stored

    from .api import Admin
    from .targets.base import Target
    from .targets.sinks import SinkPlace

SETTLE_S: Final = 90.0
LOOK_S: Final = 0.2
COMMAND_S: Final = 120.0
BASE: Final = 1  # kinds of object
BATCH: Final = 2


def worth(target: Target, admin: Admin, keys_file: Path) -> dict[str, Any]:
    """facts.backup; see chaos/check/backup.py. {} without a backup."""
    sink = target.sink
    if sink is None:
        return {}
    found: dict[str, Any] = {"kind": sink.kind}
    settled = _settled(admin)
    if settled is None:
        return {**found, "error": f"the sink did not reach the cluster's newest entry within {SETTLE_S:g} s"}
    index, digest = settled
    found |= {"digest": digest}
    keys_file.touch(mode=0o600)
    keys_file.write_text("".join(f"{share}\n" for share in target.shares))
    try:
        words = _words(sink, keys_file)
        verified = _run("verify", *words)
        drilled = _run("drill", *words, "--to-index", str(index))
    finally:
        keys_file.unlink()
    wrong = [sentence for one in verified.get("generations", ()) for sentence in one["wrong"]]
    error = verified.get("error") or "; ".join(wrong[:5]) or drilled.get("error", "")
    found["batches"] = asyncio.run(_batches(sink))
    found |= {"restored_index": drilled.get("index"), "restored_digest": drilled.get("digest")}
    return {**found, "error": error} if error else found


def _settled(admin: Admin) -> tuple[int, str] | None:
    """(index, digest) that a leader has and its sink holds; None if that did not come about."""
    end_s = time.monotonic() + SETTLE_S
    while time.monotonic() < end_s:
        for node in admin.urls:
            try:
                status = admin.ask("GET", "strongroom/status", node=node, timeout_s=3.0)
                if status.status != 200 or status.data.get("role") != "leader":
                    continue
                sinks = admin.ask("GET", "strongroom/backup/status", node=node, timeout_s=5.0).data.get("sinks") or []
            except OSError:
                continue
            index, digest = status.data["digest_index"], status.data["digest"]
            if sinks and all(one["index"] >= index and not one["lag_entries"] for one in sinks):
                return int(index), str(digest)
        time.sleep(LOOK_S)
    return None


def _words(sink: SinkPlace, keys_file: Path) -> list[str]:
    password = ["--password-file", str(sink.password_file)] if sink.password_file.exists() else []
    return ["--from", sink.url(), *password, "--unseal-keys-file", str(keys_file), "--progress=none", "-o=json"]


def _run(command: str, *words: str) -> dict[str, Any]:
    """What `strongroom backup …` printed, with `error` if it failed."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("STRONGROOM_", "VAULT_"))}
    try:
        ran = subprocess.run(  # noqa: S603 - the product
            [STRONGROOM, "backup", command, *words], capture_output=True, text=True, env=environ, timeout=COMMAND_S,
            check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"error": f"backup {command} did not end within {COMMAND_S:g} s"}
    try:
        said = json.loads(ran.stdout)
        printed: dict[str, Any] = said if isinstance(said, dict) else {}
    except ValueError:
        printed = {}
    if ran.returncode:
        last = (ran.stderr.strip().splitlines() or ["nothing"])[-1]
        printed["error"] = f"backup {command} ended with {ran.returncode}: {last[:200]}"
    return printed


async def _batches(place: SinkPlace) -> list[list[int]]:
    """[Raft term, first index, last index] of the newest generation, in the order in which they were stored."""
    password = place.password_file.read_text(encoding="ascii") if place.password_file.exists() else None
    sink = open_sink(place.url(), password=password, timeout_s=COMMAND_S)
    try:
        await sink.look()
        generations = await sink.generations()
        every = [one async for one in sink.objects(generations[-1].generation)] if generations else []
    finally:
        await sink.close()
    return in_order(every)


def in_order(every: Sequence[Stored]) -> list[list[int]]:
    """Batches behind the newest base that began anew: before it there may be a gap. Pure.

    A database numbers its objects as it stores them; other sinks only say which index each begins at.
    """
    fresh = max((one.last for one in every if one.kind == BASE and one.fresh), default=0)
    batches = [one for one in every if one.kind == BATCH and one.first > fresh]
    is_numbered = all(one.name.isdecimal() for one in batches)
    batches.sort(key=lambda one: int(one.name) if is_numbered else one.first)
    return [[one.term, one.first, one.last] for one in batches]
