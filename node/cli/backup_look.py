"""`backup list`, `backup verify`, `backup drill`: reading alone; nothing is changed anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .backup_options import (
    command,
    finished,
    form_option,
    from_option,
    generation_of,
    generation_option,
    key_file_option,
    keys_of,
    keys_option,
    needed,
    password_option,
    places_of,
    progress_option,
    time_of,
)
from .backup_progress import watcher
from .jsontext import encode
from .output import Output, columns, pairs, remark
from .session import option

if TYPE_CHECKING:
    from collections.abc import Sequence


@command("list", from_option, password_option, form_option)
def list_(urls: Sequence[str], password_files: Sequence[str], form: str) -> None:
    """Show what is stored: each generation with its bases, its seals, its size and its gaps. Needs no keys."""
    from ..restore.jobs import listed

    places = places_of(urls, password_files)
    needed(places)
    found = finished(listed(places))
    Output(form).body(encode({"sinks": found}).encode() + b"\n", "\n".join(_sink_table(one) for one in found))


def _sink_table(sink: dict[str, Any]) -> str:
    lines = [f"=== {sink['url']} ===\n"]
    for one in sink["generations"]:
        lines.append(pairs(_generation_values(one)))
        lines.append(_bases_table(one["bases"]))
    return "".join(lines) if sink["generations"] else f"{lines[0]}nothing is stored\n"


def _generation_values(one: dict[str, Any]) -> dict[str, Any]:
    values = {
        "Generation": one["generation"],
        "Began": one["began"],
        "Indexes": f"{one['first']} to {one['last']}" if one["bases"] else "none can be restored",
        "Size (bytes)": one["size_bytes"],
    }
    if one["bases"]:
        values["Times"] = f"{one['from']} to {one['to']}"
    if one["parent"]:
        values["Continues"] = f"{one['parent']} from index {one['parent_index']}"
    for seal in one["seals"]:
        keys = f", {seal['threshold']} of {seal['shares']} keys" if seal["shares"] else ""
        values[f"Seal from index {seal['from_index']}"] = f"{seal['type']}, epoch {seal['epoch']}{keys}"
    for first, last in one["gaps"]:
        values[f"Gap {first} to {last}"] = "cannot be restored"
    if one["beyond_a_gap"]:
        first, last = one["beyond_a_gap"]
        values[f"Stored {first} to {last}"] = "does not follow what is before it: cannot be restored"
    return values


def _bases_table(bases: list[dict[str, Any]]) -> str:
    if not bases:
        return ""
    rows = [
        [one["index"], one["time"], one["parts"], one["size_bytes"], one["batches_behind"], one["reaches"]]
        for one in bases
    ]
    return columns(rows, ("Base at", "Time", "Parts", "Bytes", "Batches behind", "Reaches"))


@command("verify", from_option, password_option, keys_option, key_file_option, progress_option, form_option)
def verify(
    urls: Sequence[str],
    password_files: Sequence[str],
    unseal_keys_file: str | None,
    key_file: str | None,
    progress: str,
    form: str,
) -> int:
    """Open every object with the keys and apply it; each digest is compared. Ends with 2 if anything is wrong."""
    from ..restore.jobs import verified

    places = places_of(urls, password_files)
    needed(places)
    keys = keys_of(places, None, unseal_keys_file, key_file)
    found = finished(verified(places, keys, watcher(progress)))
    rows = [[one["generation"], one["objects"], one["bytes"], one["last"], len(one["wrong"])] for one in found]
    table = columns(rows, ("Generation", "Objects", "Bytes", "Right up to", "Wrong"))
    Output(form).body(encode({"generations": found}).encode() + b"\n", table)
    wrong = [sentence for one in found for sentence in one["wrong"]]
    for sentence in wrong:
        remark(f"wrong: {sentence}")
    for one in found:
        if one["not_opened"]:
            remark(f"{one['not_opened']} objects of {one['generation']} do not open with these keys and were left out")
    if not found:
        remark("nothing is stored that could be restored")
    return 0 if found and not wrong else 2


@command(
    "drill", from_option, password_option, generation_option, keys_option, key_file_option, progress_option,
    option("--to-index", type=click.IntRange(1), help="the point, by index"),
    option("--to-time", help="the point, by time, such as 2026-01-31T12:00:00Z"), form_option,
)  # fmt: skip
def drill(
    urls: Sequence[str],
    password_files: Sequence[str],
    generation: str | None,
    unseal_keys_file: str | None,
    key_file: str | None,
    progress: str,
    to_index: int | None,
    to_time: str | None,
    form: str,
) -> None:
    """Restore into memory, verify, and forget it: how long it takes, and how old the newest entry is."""
    from cluster import Point

    from ..restore.jobs import Asked, drilled

    places = places_of(urls, password_files)
    needed(places)
    asked = Asked(Point(to_index, time_of(to_time)), generation=generation_of(generation))
    keys = keys_of(places, asked.generation, unseal_keys_file, key_file)
    found = finished(drilled(places, asked, keys, watcher(progress)))
    Output(form).body(encode(found).encode() + b"\n", pairs(found))
