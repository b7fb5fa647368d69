"""`operator journal dump`: which entries a stopped node's folder holds, and whether it is whole. Nothing is written.

A shell around node/journal_dump.py. Invariant: keys come by variable, file or prompt, as for every local command.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from .backup_options import command, finished, key_file_option, keys_asked, keys_given, keys_option
from .configuration import config_option, flags_of, set_option
from .output import remark
from .session import option

if TYPE_CHECKING:
    from ..restore.keys import Keys

EXITS: Final = {"whole": 0, "damaged": 2, "unopened": 2, "torn": 3}


@command(
    "dump",
    option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path),
           help="the data folder of a node that is stopped; it is only read"),
    config_option, set_option,
    option("--verify", is_flag=True, help="print no entries; end with 2 if anything is damaged, 3 if the end is torn"),
    keys_option, key_file_option,
)  # fmt: skip
def dump(
    data: Path | None, files: tuple[Path, ...], settings: tuple[str, ...], unseal_keys_file: str | None,
    key_file: str | None, verify: bool,
) -> int:  # fmt: skip
    """Print which records each entry of a stopped node's journal changes, one JSON object a line, without values.

    What the newest snapshot still holds comes first, then the log. Read docs/journal.md for the fields.
    """
    from ..journal_dump import dumped

    folder, keys = _meant(data, files, settings, unseal_keys_file, key_file)

    async def work() -> dict[str, Any]:
        return dumped(folder, lambda kind, threshold: keys or keys_asked(kind, threshold), _print, verify=verify)

    last = finished(work())
    for one in last["wrong"]:
        remark(f"{one['what']}: {one['where']}: {one['why']}")
    return EXITS[last["condition"]] if verify else 0


def _print(line: dict[str, Any]) -> None:
    try:
        click.echo(json.dumps(line, separators=(",", ":")))  # ASCII: no name reaches a terminal as it is
    except BrokenPipeError:  # whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(0) from None


def _meant(
    data: Path | None, files: tuple[Path, ...], settings: tuple[str, ...], keys_file: str | None, key_file: str | None
) -> tuple[Path, Keys | None]:
    """The folder, and what opens it if that is given or configured. Raises LocalError."""
    if (data is None) is not bool(files):
        raise click.UsageError("name the node's folder with -data DIR, or its configuration with -config FILE")
    if data is not None:
        return data, keys_given(keys_file, key_file)
    from ..auto_seal import transit_of
    from ..restore.keys import Keys
    from .server import configured

    config = configured(files, os.environ, flags_of(settings))
    keys = keys_given(keys_file, key_file or config.seal.key_file or None, config.seal.key.reveal())
    transit = transit_of(config)
    return Path(config.node.data_dir), keys or (None if transit is None else Keys(transit=transit))
