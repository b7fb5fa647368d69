"""The catalog of plugins: what is built in. There are no others, and none can be registered.

Pure; any node answers. Source: Vault API, "sys/plugins/catalog".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...request import Answer, RawRequest, Refusal
from .mount_table import RUNNING_VERSION

if TYPE_CHECKING:
    from ..base import Context
    from .mounts import MountTypes
    from .routes import Captures

_ALWAYS = {"auth": {"token"}, "secret": {"cubbyhole", "identity"}}


class PluginCatalog:
    """Handlers of sys/plugins/catalog, over the types that can be mounted."""

    def __init__(self, types: MountTypes) -> None:
        mountable = {"auth": types.auth, "database": frozenset[str](), "secret": types.secrets}
        self._names = {kind: sorted(names - _ALWAYS.get(kind, set())) for kind, names in mountable.items()}

    def read_all(self, _context: Context, _request: RawRequest, _captures: Captures) -> Answer:
        """Names by kind, and what is known of each."""
        detailed = [
            {
                "builtin": True,
                "deprecation_status": "supported",
                "name": name,
                "type": kind,
                "version": RUNNING_VERSION,
            }
            for kind, names in self._names.items()
            for name in names
        ]
        return Answer(data={**self._names, "detailed": detailed})

    def read_kind(self, _context: Context, _request: RawRequest, captures: Captures) -> Answer:
        """The names of one kind."""
        return Answer(data={"keys": self._of(captures["kind"])})

    def read_one(self, _context: Context, _request: RawRequest, captures: Captures) -> Answer:
        """One of them; 404 for what is not built in."""
        if captures["name"] not in self._of(captures["kind"]):
            raise Refusal(404)
        data: dict[str, Any] = {
            "args": [],
            "builtin": True,
            "command": "",
            "deprecation_status": "supported",
            "name": captures["name"],
            "sha256": "",
            "version": RUNNING_VERSION,
        }
        return Answer(data=data)

    def _of(self, kind: str) -> list[str]:
        if kind not in self._names:
            raise Refusal(400, "a plugin is of type auth, database or secret")
        return self._names[kind]
