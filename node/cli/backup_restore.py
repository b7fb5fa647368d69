"""`backup restore`: the folders of a new cluster from a backup, at any point of it.

A shell around node/restore: parses, asks for words that an operator must say, prints the report. Invariants: without
`-out` no value is printed; the fresh root token goes to stdout, once; nothing is written before it was all verified.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .backup_options import (
    command,
    confirm,
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
from .configuration import config_option, set_option
from .failures import LocalError
from .jsontext import encode
from .output import Output, columns, pairs, remark
from .session import option

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..restore.jobs import Asked
    from ..restore.keys import Keys
    from ..restore.places import Place
    from ..restore.wanted import Wanted

cluster_options: tuple[Callable[[Any], Any], ...] = (
    config_option,
    set_option,
    option("--data", "folders", multiple=True, type=click.Path(file_okay=False, path_type=Path),
           help="a member's data folder; may be repeated; default: that of -config"),
    option("--member", "members", multiple=True, metavar="ID=HOST:PORT,URL",
           help="a member of the new cluster, without -config"),
    option("--profile", type=click.Choice(["production", "dev"]), default="production", help="without -config"),
    option("--cluster-name", default="", help="without -config; default: as it was"),
)  # fmt: skip

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    from_option,
    password_option,
    *cluster_options,
    option("--to-index", type=click.IntRange(1), help="the point, by index; default: the newest"),
    option("--to-time", help="the point, by time, such as 2026-01-31T12:00:00Z"),
    generation_option,
    option("--join", metavar="ID", help="lay out a further member of the cluster that a restore began as ID"),
    option("--fork", is_flag=True, help="a second cluster from a backup that was restored before"),
    option("--expect", "expects", multiple=True, metavar="INDEX:HASH", help="what `backup status` printed once"),
    option("--witness", "witnesses", multiple=True, type=click.Path(exists=True, file_okay=False, path_type=Path),
           help="a surviving data folder: what it knows of the sinks is compared"),
    option("--keep-tokens", is_flag=True, help="at an earlier point: keep tokens that were not revoked afterwards"),
    option("--old-access", is_flag=True, help="at an earlier point: policies and auth as they were, not as they are"),
    option("--new-root-token", is_flag=True, help="make a root token also where the tokens are kept"),
    option("--accept-missing-end", is_flag=True, help="go on though a witness knows of more than the sinks show"),
    option("--yes-unwitnessed", is_flag=True, help="nothing but the sink says how far it reaches: go on"),
    option("--yes-keep-tokens", is_flag=True, help="the word for -keep-tokens"),
    option("--yes-old-access", is_flag=True, help="the word for -old-access"),
    option("--path", "kv_path", metavar="PATH", help="no cluster: read one KV path, such as secret/app, into -out"),
    option("--versions", is_flag=True, help="with -path: every version, not only the newest"),
    option("--out", type=click.Path(dir_okay=False, path_type=Path),
           help="with -path: a new file of mode 0600 for the values; - prints them"),
    keys_option,
    key_file_option,
    progress_option,
    form_option,
)  # fmt: skip


@command("restore", *_OPTIONS)
def restore(**given: Any) -> None:
    """Lay out the data folders of a new cluster: the newest state, or that of an index or a time.

    The sink that reaches furthest is used. Nothing is written before everything is read and verified; a folder that
    belongs to a member is refused. The restored cluster opens with the unseal keys of the backup.
    """
    asked = _asked(given)
    if given["kv_path"]:
        from .backup_path import read_path

        read_path(given, asked)
        return
    wanted, key_file, key_text = wanted_of(given)
    places = _named(places_of(given["urls"], given["password_files"]), wanted.places)
    needed(places)
    if given["join"]:
        _join(given, wanted, places, key_file, key_text)
        return
    if asked.wish.keep_tokens:
        confirm(
            "Tokens that were valid at that point and not revoked since will be valid again.", "keep-tokens",
            said=given["yes_keep_tokens"], flag="-yes-keep-tokens",
        )  # fmt: skip
    if asked.wish.old_access:
        confirm(
            "Policies, auth methods and identities that were tightened or removed since will be as they were.",
            "old-access", said=given["yes_old_access"], flag="-yes-old-access",
        )  # fmt: skip
    transit = given.get("transit")
    keys = keys_of(places, asked.generation, given["unseal_keys_file"], key_file, key_text, transit)
    _show(given, restore_with_words(places, wanted, asked, keys, given["progress"]))


def restore_with_words(
    places: Sequence[Place], wanted: Wanted, asked: Asked, keys: Keys, progress: str
) -> dict[str, Any]:
    """The restore; if nothing but the sink says how far it reaches, somebody is asked for a word first."""
    from cluster import UnwitnessedError

    from ..restore.jobs import restored

    def attempt(asked: Asked) -> dict[str, Any] | UnwitnessedError:
        async def work() -> dict[str, Any] | UnwitnessedError:
            try:
                return await restored(places, wanted, asked, keys, watcher(progress))
            except UnwitnessedError as error:
                return error

        return finished(work())

    found = attempt(asked)
    if isinstance(found, UnwitnessedError):
        confirm(
            f"{found}. If its end was cut off, writes and revocations are missing, and nobody can see it.\n"
            "Give -expect INDEX:HASH or -witness FOLDER if you have one.",
            "unwitnessed", said=False, flag="-yes-unwitnessed",
        )  # fmt: skip
        found = attempt(dataclasses.replace(asked, unwitnessed=True))
    assert isinstance(found, dict)
    return found


def _join(given: dict[str, Any], wanted: Wanted, places: list[Place], key_file: str | None, key_text: str) -> None:
    from ..restore.jobs import joined

    generation = generation_of(given["join"])
    assert generation is not None
    if len(places) != 1:
        raise click.UsageError("-join reads one sink: the one that the restore read")
    if len(wanted.folders) != 1:
        raise click.UsageError("-join lays out one folder")
    members = [given["own_id"]] if given.get("own_id") else []
    transit = given.get("transit")
    keys = keys_of(places, generation, given["unseal_keys_file"], key_file, key_text, transit)
    found = finished(joined(places[0], generation, wanted, members, keys, watcher(given["progress"])))
    Output(given["form"]).body(encode(found).encode() + b"\n", pairs(found))
    remark("next: start this node, and unseal it with the keys of the backup")


def _asked(given: dict[str, Any]) -> Asked:
    from cluster import Point, Wish

    from ..restore.jobs import Asked
    from ..restore.wanted import WantedError, expected_of

    try:
        expected = tuple(expected_of(word) for word in given["expects"])
    except WantedError as error:
        raise LocalError(str(error)) from None
    if given["to_index"] is not None and given["to_time"] is not None:
        raise click.UsageError("-to-index and -to-time are two points; give one")
    return Asked(
        point=Point(given["to_index"], time_of(given["to_time"])),
        wish=Wish(given["keep_tokens"], given["old_access"]),
        generation=generation_of(given["generation"]),
        fork=given["fork"],
        unwitnessed=given["yes_unwitnessed"],
        accept_loss=given["accept_missing_end"],
        expected=expected,
        witness_folders=tuple(given["witnesses"]),
        new_root_token=given["new_root_token"],
    )


def wanted_of(given: dict[str, Any]) -> tuple[Wanted, str | None, str]:
    """(cluster, key file, key) from the configuration or the words. Raises LocalError."""
    from ..auto_seal import transit_of
    from ..restore.wanted import WantedError, of_config, of_words
    from .configuration import flags_of
    from .server import configured

    if not given["files"]:
        try:
            wanted = of_words(given["members"], given["folders"], given["profile"], given["cluster_name"])
        except WantedError as error:
            raise LocalError(str(error)) from None
        if not wanted.folders:
            raise click.UsageError("name the data folder with -data DIR, or give -config FILE")
        return wanted, given["key_file"], ""
    if given["members"]:
        raise click.UsageError("-member is for a restore without -config")
    config = configured(given["files"], os.environ, flags_of(given["settings"]))
    given["own_id"], given["transit"] = config.node.id, transit_of(config)
    try:
        wanted = of_config(config)
    except OSError as error:
        raise LocalError(f"{error.filename} cannot be used: {error.strerror}") from None
    except WantedError as error:
        raise LocalError(str(error)) from None
    if given["folders"]:
        wanted = wanted._replace(folders=list(given["folders"]))
    key_file = given["key_file"] or config.seal.key_file or None
    return wanted, key_file, config.seal.key.reveal()


def _named(places: list[Place], configured: list[Place]) -> list[Place]:
    """The sinks that were named, with names and passwords of the configuration where it has them; or all of it."""
    known = {place.url: place for place in configured}
    return [place if place.password else known.get(place.url, place) for place in places] or configured


def _show(given: dict[str, Any], found: dict[str, Any]) -> None:
    values = {
        "Generation": found["generation"],
        "Restored from": found["url"],
        "Index": found["index"],
        "Time": found["time"],
        "Digest": found["digest"],
        "Tokens": found["tokens"],
        "Lost indexes": "none that is known of" if found["lost"] is None else "{} to {}".format(*found["lost"]),
    }
    if found["lost"] is not None:
        values["Lost times"] = f"after {found['time']} until {found['newest_time']}"
    if found["newer_generation"] is not None:
        values["Lost, too"] = f"everything of generation {found['newer_generation']}, which began from this one"
    if found["not_opened_from"] is not None:
        values["Not opened"] = f"from index {found['not_opened_from']} on: these keys are older"
    if found["root_token"]:
        values["Root Token"] = found["root_token"]
    table = pairs(values)
    if found["access_changes"]:
        rows = [[one["kind"], one["name"], one["what"]] for one in found["access_changes"]]
        table += "\nAccess that changed after that point, restored as "
        table += "it was:\n" if given.get("old_access") else "it is now:\n"
        table += columns(rows, ("Kind", "Name", "Since"))
    Output(given["form"]).body(encode(found).encode() + b"\n", table)
    if found["access_unknown"]:
        remark("WARNING: a part of what followed cannot be read: policies and auth that were tightened there are not")
    remark("next: start the members; unseal each with the keys of the backup; then `strongroom operator adopt`")
    if found["url"].startswith("snapshot:"):
        remark("further members: lay out their folders in one restore, with -data for each, or start them empty")
    else:
        remark(f"further members, on other machines: strongroom backup restore -join {found['generation']}")
