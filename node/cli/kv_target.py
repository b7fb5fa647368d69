"""Where a KV path lies: its mount, the key below it, and the version of the engine there.

Asked of the server before each command, as Vault's own command line does. Source: Vault API, "sys/internal/ui/mounts".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .failures import LocalError

if TYPE_CHECKING:
    from .session import Session


@dataclass(frozen=True, slots=True)
class Target:
    """`mount` ends with a slash; `key` begins and ends with none."""

    mount: str
    key: str
    version: int

    def path(self, part: str) -> str:
        """The API path of `part` (data, metadata, delete, undelete, destroy) of this key; version 1 has no parts."""
        return f"{self.mount}{part}/{self.key}" if self.version == 2 else f"{self.mount}{self.key}"

    def only_version_2(self, command: str) -> None:
        """Raises LocalError unless the mount keeps versions."""
        if self.version != 2:
            raise LocalError(f"{command} works only on a KV version 2 mount; {self.mount or 'this mount'} is version 1")


def find(session: Session, path: str, mount: str | None) -> Target:
    """The target of `path`, or of `path` below `mount`. Raises Refused if the server does not show the mount."""
    path = path.strip("/")
    asked = mount.strip("/") if mount else path
    where = f"sys/internal/ui/mounts/{asked}"
    reply = session.ask("GET", where)
    if reply.status == 404:  # a server without this path keeps KV version 1 alone
        return Target(f"{asked}/", path, 1) if mount else Target("", path, 1)
    if not reply.ok:
        reply = session.call("GET", where)
    found = str(reply.data.get("path", "")).strip("/")
    options = reply.data.get("options")
    version = 2 if isinstance(options, dict) and options.get("version") == "2" else 1
    if mount:
        below = asked.removeprefix(found).strip("/")
        return Target(f"{found}/", f"{below}/{path}".strip("/"), version)
    return Target(f"{found}/", path.removeprefix(found).strip("/"), version)
