"""`backup prepare`, `backup grants`: a sink's tables, made by their owner, and what its other roles need.

`grants` touches nothing: it prints what the owner then runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .backup_options import command, finished, password_option, places_of
from .failures import LocalError
from .output import remark
from .session import option

if TYPE_CHECKING:
    from collections.abc import Sequence


@command(
    "prepare", option("--to", "target", required=True, metavar="URL", help="the sink, by the URL of its owner"),
    password_option,
)  # fmt: skip
def prepare(target: str, password_files: Sequence[str]) -> None:
    """Make what a sink needs before its first use, or bring it to this program's version. May be repeated.

    For PostgreSQL this is the schema with its tables: the role of the URL owns them. The nodes' role gets what
    `strongroom backup grants` prints.
    """
    from ..restore.upkeep import prepared

    [place] = places_of([target], password_files)
    url = finished(prepared(place))
    remark(f"Success! {url} can be used.")


@command(
    "grants", option("--role", required=True, metavar="ROLE", help="the role of PostgreSQL, which exists"),
    option("--prune", is_flag=True, help="for the role of `backup prune`, which deletes and stores nothing"),
    option("--schema", default="strongroom", show_default=True, metavar="NAME", help="as in the sink's URL"),
)  # fmt: skip
def grants(role: str, prune: bool, schema: str) -> None:
    """Print the SQL that gives a role what it needs in a prepared sink. The owner runs it, with psql.

    Without -prune the role is that of the nodes: it stores and cannot delete.
    """
    from cluster import SinkRefusedError, grants_sql

    if not role or "\0" in role:
        raise click.UsageError("name the role with -role ROLE")
    try:
        text = grants_sql(role, prune=prune, schema=schema)
    except SinkRefusedError as error:
        raise LocalError(str(error)) from None
    click.echo(text, nl=False)
