"""The whole configuration of a node, and its keys as data.

Pure. `FIELDS` maps "section.key" to its type, bounds, default and reason; the loader, the checks and the printed
reference read nothing else, so a key that stands in a section is documented and settable by every source.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta, Struct

from .edge import Api, Audit, Limits, Log, Metrics, Node, Trace
from .replication import Backup, Consistency, Dedupe, Journal, Peer, Raft, Seal


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a node is told. Immutable; a reload makes a new one."""

    profile: Annotated[
        Literal["production", "dev"], Meta(description="dev is for loopback and marks its folders for ever")
    ] = "production"
    node: Node = Node()
    api: Api = Api()
    peer: Peer = Peer()
    raft: Raft = Raft()
    consistency: Consistency = Consistency()
    journal: Journal = Journal()
    seal: Seal = Seal()
    backup: Backup = Backup()
    audit: Audit = Audit()
    dedupe: Dedupe = Dedupe()
    limits: Limits = Limits()
    log: Log = Log()
    metrics: Metrics = Metrics()
    trace: Trace = Trace()

    def __repr__(self) -> str:
        return f"<Config of {self.node.id or 'no node'}>"  # a refused configuration may hold a password in a URL

    @property
    def audit_directory(self) -> str:
        """Where file devices write: `audit.directory`, or the folder `audit` in the node's data."""
        return self.audit.directory or str(PurePosixPath(self.node.data_dir) / "audit")

    @property
    def advertise_url(self) -> str:
        """The URL by which clients reach this node."""
        scheme = "https" if self.api.tls == "on" else "http"
        return self.api.advertise or f"{scheme}://{self.api.address}"

    def value(self, key: str) -> Any:
        """The value of "section.key" or "profile". Raises KeyError for a key we do not have."""
        field = FIELDS[key]
        return getattr(getattr(self, field.section) if field.section else self, field.name)


@dataclass(frozen=True, slots=True)
class Field:
    """One key: where it stands, what it may be, what it is when nobody says, and why it exists."""

    key: str
    section: str
    name: str
    type: Any  # as annotated, with bounds: what msgspec.convert takes
    default: Any
    reason: str
    secret: bool


def _fields_of(section: str, struct: type[Struct]) -> list[Field]:
    hints = get_type_hints(struct, include_extras=True)
    found = []
    for info in msgspec.structs.fields(struct):
        if not section and isinstance(info.default, Struct):
            found += _fields_of(info.name, type(info.default))
            continue
        metas = [argument for argument in get_args(hints[info.name])[1:] if isinstance(argument, Meta)]
        reason = next(meta.description for meta in metas if meta.description)
        found.append(
            Field(
                key=f"{section}.{info.name}" if section else info.name,
                section=section,
                name=info.name,
                type=hints[info.name],
                default=info.default,
                reason=reason,
                secret=any((meta.extra or {}).get("secret", False) for meta in metas),
            )
        )
    return found


FIELDS: dict[str, Field] = {field.key: field for field in _fields_of("", Config)}
SECTIONS: tuple[str, ...] = tuple(dict.fromkeys(field.section for field in FIELDS.values() if field.section))


def split_address(address: str) -> tuple[str, int] | None:
    """("host", port) of "host:port" or "[v6]:port"; None if it is neither."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        return None
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1], int(port)
    return None if ":" in host else (host, int(port))


def is_loopback(host: str) -> bool:
    """Nothing beyond this machine reaches `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_wildcard(host: str) -> bool:
    """`host` means every address of the machine."""
    try:
        return not host or ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
