"""`operator adopt`: a restored cluster is the one from now on; the audit devices of the backup are enabled again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .output import columns, remark
from .session import api_command, option

if TYPE_CHECKING:
    from .session import Session


@api_command("adopt")
@option("--without-audit", is_flag=True, help="do not enable the audit devices that the backup had")
def adopt(session: Session, without_audit: bool) -> None:
    """Say that this restored cluster is the one that counts. Until then its audit devices stay off."""
    reply = session.call("PUT", "strongroom/adopt", body={"audit": not without_audit})
    found = reply.data
    devices = ", ".join(found.get("audit_devices") or []) or "none"
    rows = {"Restored": found.get("restored"), "Audit devices enabled": devices}
    if found.get("restored"):
        rows["Continues"] = f"{found.get('parent')} from index {found.get('parent_index')}"
    session.output.data(reply.body, found, columns(rows.items(), ("Key", "Value")))
    remark("The cluster is adopted." if found.get("restored") else "This cluster did not begin by a restore.")
