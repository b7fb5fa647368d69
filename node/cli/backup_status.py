"""`backup status`: how far each sink is, as a running node says it; and what a restore can be told to expect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .output import columns, remark
from .session import api_command, option

if TYPE_CHECKING:
    from .session import Session


@api_command("status")
def status(session: Session) -> int:
    """Show each sink: how far it reaches, what is missing, its error. Ends with 2 if a sink has one.

    Keep a line of "Expect" outside the cluster: with -expect a restore finds out whether a sink lost its end.
    """
    reply = session.call("GET", "strongroom/backup/status")
    sinks: list[dict[str, Any]] = reply.data.get("sinks") or []
    rows = [
        [one.get("sink"), one.get("index"), _known(one, "lag_entries"), _known(one, "lag_s"), one.get("error") or "-"]
        for one in sinks
    ]
    table = columns(rows, ("Sink", "Index", "Lag (entries)", "Lag (s)", "Error"))
    table += "".join(f"\nExpect of {one.get('sink')}: {one['expect']}" for one in sinks if one.get("expect"))
    session.output.data(reply.body, reply.data, table.rstrip("\n") + "\n")
    if not sinks:
        remark("no backup sink is configured: if all nodes are lost, everything is")
    return 2 if any(one.get("error") for one in sinks) else 0


def _known(row: dict[str, Any], key: str) -> Any:
    return "not known" if row.get(key) is None else row[key]


@api_command("trigger")
@option("--sink", default="", help="of one sink, by its name; default: of all")
def trigger(session: Session, sink: str) -> None:
    """Begin a base now: a restore from it reads fewer batches."""
    reply = session.call("PUT", "strongroom/backup/trigger", body={"sink": sink})
    session.output.done(reply.body, "Success! A base begins; `strongroom backup status` shows when it is there.")
