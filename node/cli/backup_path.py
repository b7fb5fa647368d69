"""`backup restore -path`: one KV path out of a backup, into a file that nobody else may read.

Nothing is written into a cluster: `strongroom kv put PATH @FILE` does that, with its caller's token, judged and audited
like any other write. Invariant: a value is printed only for `-out -`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from .backup_options import finished, keys_of, needed, places_of
from .backup_progress import watcher
from .failures import LocalError, Refused
from .jsontext import decode, encode
from .output import remark

if TYPE_CHECKING:
    from pathlib import Path

    from ..restore.jobs import Asked


def read_path(given: dict[str, Any], asked: Asked) -> None:
    """The path's value, or with -versions its history, stands in the file."""
    from ..restore.path import path_read

    out, path = given["out"], given["kv_path"].strip("/")
    if out is None:
        raise click.UsageError("-path needs -out FILE, a new file for the values, or -out - to print them")
    if str(out) != "-" and out.exists():
        raise LocalError(f"{out} is there already; name a new file")
    places = places_of(given["urls"], given["password_files"])
    needed(places)
    keys = keys_of(places, asked.generation, given["unseal_keys_file"], given["key_file"])
    found = finished(path_read(places, asked, keys, path, watcher(given["progress"])))
    for version in found["versions"]:
        version["data"] = None if version["data"] is None else decode(version["data"])
    text = encode(found if given["versions"] else _newest(found)) + "\n"
    if str(out) == "-":
        click.echo(text, nl=False)
    else:
        _write_private(out, text)
        remark(f"{out} holds {path} as it was at index {found['index']} of {found['time']}.")
        if not given["versions"]:
            remark(f"next: strongroom kv put {path} @{out}, then remove the file")


def _newest(found: dict[str, Any]) -> Any:
    """The data of the newest version. Raises Refused if it was deleted or destroyed."""
    newest = found["versions"][-1]
    if newest["data"] is None or newest["deleted"]:
        number = newest["version"]
        raise Refused(f"version {number}, the newest, was deleted or destroyed\nnext: -versions shows the others")
    return newest["data"]


def _write_private(path: Path, text: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LocalError(f"{path} cannot be written: {error.strerror}") from None
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
