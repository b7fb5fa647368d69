"""`backup copy`, `backup prune`: objects as they are, without keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .backup_options import (
    command,
    finished,
    form_option,
    from_option,
    generation_of,
    generation_option,
    password_option,
    places_of,
    progress_option,
)
from .backup_progress import watcher
from .jsontext import encode
from .output import Output, columns, pairs
from .session import option

if TYPE_CHECKING:
    from collections.abc import Sequence


@command(
    "copy", from_option, option("--to", "target", required=True, metavar="URL", help="the sink to fill; may be new"),
    password_option,
    option("--to-password-file", help="the password of -to [STRONGROOM_BACKUP_TO_PASSWORD]"),
    progress_option, form_option,
)  # fmt: skip
def copy(
    urls: Sequence[str],
    target: str,
    password_files: Sequence[str],
    to_password_file: str | None,
    progress: str,
    form: str,
) -> None:
    """Copy every object that a restore can use, byte for byte, with its chain checked. Run it again to go on."""
    from ..restore.upkeep import copied

    if len(urls) != 1:
        raise click.UsageError("copy reads one sink: -from URL")
    [source] = places_of(urls, password_files)
    [to] = places_of([target], [to_password_file] if to_password_file else [], "STRONGROOM_BACKUP_TO_PASSWORD")
    found = finished(copied(source, to, watcher(progress)))
    rows = [[one["generation"], one["sent"], one["bytes"], one["there_already"], one["left_out"]] for one in found]
    table = columns(rows, ("Generation", "Sent", "Bytes", "There already", "Left out"))
    Output(form).body(encode({"generations": found}).encode() + b"\n", table)


@command(
    "prune", from_option, password_option, generation_option,
    option("--keep-bases", type=click.IntRange(1), default=7, help="base snapshots to keep"),
    option("--keep-days", type=click.IntRange(1), default=30, help="how far back a restore must reach"),
    option("--dry-run", is_flag=True, help="only say what would go"), form_option,
)  # fmt: skip
def prune(
    urls: Sequence[str],
    password_files: Sequence[str],
    generation: str | None,
    keep_bases: int,
    keep_days: int,
    dry_run: bool,
    form: str,
) -> None:
    """Remove what retention does not keep; the URL's role must be one that may delete. What stays is whole."""
    from ..restore.upkeep import pruned

    if len(urls) != 1:
        raise click.UsageError("prune works on one sink: -from URL")
    [place] = places_of(urls, password_files)
    work = pruned(place, generation_of(generation), keep_bases=keep_bases, keep_days=keep_days, dry=dry_run)
    found = finished(work)
    Output(form).body(encode(found).encode() + b"\n", pairs(found))
