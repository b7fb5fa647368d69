"""`operator recover`: a new line of history from what survived the loss of a majority.

A shell around node/restore. Invariant: what is lost is said, and somebody typed a word, before anything is written.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .backup_options import (
    command,
    confirm,
    ending,
    finished,
    form_option,
    from_option,
    key_file_option,
    keys_asked,
    keys_given,
    keys_option,
    password_option,
    places_of,
    progress_option,
)
from .backup_progress import watcher
from .backup_restore import cluster_options, wanted_of
from .failures import LocalError
from .jsontext import encode
from .output import Output, columns, pairs, remark
from .session import option

if TYPE_CHECKING:
    from collections.abc import Sequence


@command(
    "recover",
    option("--survivor", "survivors", multiple=True, required=True,
           type=click.Path(exists=True, file_okay=False, path_type=Path),
           help="the data folder of a member that is stopped; it is only read; may be repeated"),
    from_option, password_option, *cluster_options,
    option("--keep-tokens", is_flag=True, help="keep tokens, though what was revoked last may be lost"),
    option("--fork", is_flag=True, help="a second cluster from a history that goes on elsewhere"),
    option("--yes-keep-tokens", is_flag=True, help="the word for -keep-tokens"),
    option("--yes-lost", is_flag=True, help="the word: what is said to be lost may be lost"),
    keys_option, key_file_option, progress_option, form_option,
)  # fmt: skip
def recover(**given: Any) -> None:
    """Go on after a majority of the members is lost for ever: from the most complete survivor, or the backup.

    Every member must be stopped. The folders of the survivors are read and never written; the new cluster is laid out
    in the folders named with -data. What is lost, or may be, is printed before anything is done.
    """
    if len(given["urls"]) > 1:
        raise click.UsageError("recover reads one sink")
    from ..restore.recover import recovered

    wanted, key_file, key_text = wanted_of(given)
    places = places_of(given["urls"], given["password_files"])
    # unlike Path.resolve, it takes a loop of links as it comes
    if {os.path.realpath(path) for path in given["survivors"]} & {os.path.realpath(path) for path in wanted.folders}:
        raise LocalError("the new cluster must stand in another folder than a survivor: name it with -data")
    if given["keep_tokens"]:
        confirm(
            "Tokens will be valid again, also those whose revocation is among what is lost.", "keep-tokens",
            said=given["yes_keep_tokens"], flag="-yes-keep-tokens",
        )  # fmt: skip
    keys = keys_given(given["unseal_keys_file"], key_file, key_text) or keys_asked(*_seal(given["survivors"]))

    def agree(found: dict[str, Any]) -> None:
        click.echo(_assessed(found), err=True)
        confirm("A new cluster begins; the old one must never run again.", "recover",
                said=given["yes_lost"], flag="-yes-lost")  # fmt: skip

    work = recovered(
        given["survivors"], places[0] if places else None, wanted, keys, keep_tokens=given["keep_tokens"],
        fork=given["fork"], agree=agree, on_progress=watcher(given["progress"]),
    )  # fmt: skip
    found = finished(work)
    shown = {name: found[name] for name in ("generation", "from", "index", "time", "tokens", "folders")}
    shown["lost"] = "none that is known of" if found["lost"] is None else "{} to {}".format(*found["lost"])
    if found["root_token"]:
        shown["root_token"] = found["root_token"]
    Output(given["form"]).body(encode(found).encode() + b"\n", pairs(shown))
    remark("next: start the members and unseal them with the same keys; then `strongroom operator adopt`")


def _seal(survivors: Sequence[Path]) -> tuple[str, int]:
    from ..restore.recover import seal_of

    with ending():
        kind, threshold = seal_of(survivors)
    if not kind:
        raise LocalError("none of the folders is a member's")
    return kind, threshold


def _assessed(found: dict[str, Any]) -> str:
    rows = [[one["from"], one["term"], one["index"], one["time"], one["damaged"]] for one in found["sources"]]
    lines = [columns(rows, ("Found", "Term", "Index", "Time", "Damaged"))]
    lines.append(f"The new cluster goes on from {found['from']}, index {found['index']} of {found['time']}.")
    if found["left_out"]:
        lines.append(f"{found['left_out']}. If it is the wrong one, stop here and name the right one with -from.")
    if found["lost"]:
        lines.append("Lost for certain: indexes {} to {}.".format(*found["lost"]))
    lines.append(f"May be lost: whatever was answered after {found['time']} by members that are gone.")
    if found["unsure"]:
        lines.append("Kept, and perhaps never answered: indexes {} to {}.".format(*found["unsure"]))
    return "\n".join(lines)
