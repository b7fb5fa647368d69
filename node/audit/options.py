"""What the options of an audit device may say.

Pure: texts are checked here, the file system is asked where the file is opened. An option is honoured or refused,
never ignored: an operator who asks for a filter must not believe that there is one.
Invariants: no path leaves `directory`; no prefix before a line (an operator's file with an attacker's first bytes,
CVE-2025-54997); nothing is logged raw in production.
Source: Vault API, "sys/audit"; Vault, "File audit device"; docs/threat-model.md, audit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from .endpoint import DATAGRAM_BYTES_MAX, Endpoint, OptionError, Syslog, socket_endpoint, syslog_endpoint
from .hashing import audit_hash

if TYPE_CHECKING:
    from collections.abc import Mapping

STDOUT = "stdout"
DISCARD = "discard"
POSITIONS = ".positions"  # where devices whose lines are elsewhere keep how far they are
MODE = 0o600
MODE_MAX = 0o664  # a file of records is never executable and never writable by everybody
PATH_BYTES_MAX = 1024
NAME_BYTES_MAX = 255

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"", "0", "f", "F", "false", "FALSE", "False"})
_COMMON = frozenset({"format", "log_raw", "hmac_accessor", "elide_list_responses"})
_KNOWN = {
    "file": _COMMON | {"file_path", "path", "mode", "fdatasync"},
    "socket": _COMMON | {"address", "socket_type", "write_timeout"},
    "syslog": _COMMON | {"address", "write_timeout", "facility", "tag"},
}
_NAMED = frozenset().union(*_KNOWN.values(), {"prefix", "filter", "fallback", "exclude"})


@dataclass(frozen=True, slots=True)
class DeviceOptions:
    """A device's options, checked. `parts` is the file below the directory, folder by folder; empty for the others.

    `endpoint` is whom a socket or syslog device sends to, `syslog` what it then writes before a line.
    """

    target: str  # as the operator wrote it
    parts: tuple[str, ...] = ()
    mode: int | None = MODE  # None: the mode of an existing file stays
    log_raw: bool = False
    hmac_accessor: bool = True
    elide_list_responses: bool = False
    fdatasync: bool = False  # a record is taken when the disk has it, not when the kernel has
    endpoint: Endpoint | None = None
    syslog: Syslog | None = None

    @property
    def file(self) -> str:
        """The name that facts and first lines call the place by: for a file, its path below the directory."""
        return "/".join(self.parts) or self.target

    @property
    def line_bytes_max(self) -> int | None:
        """A longer line cannot be sent; None = any can."""
        return DATAGRAM_BYTES_MAX if self.endpoint is not None and self.endpoint.is_datagram else None


class Rules:
    """The options of devices on a node that keeps its audit files below `directory` (an absolute path)."""

    def __init__(self, directory: str, *, production: bool) -> None:
        self.directory = PurePosixPath(directory)
        self._production = production

    def check_options(self, type_: str, options: Mapping[str, str]) -> None:
        """Raises OptionError for options that no device of this node may have."""
        self.parse(type_, options)

    def hash_text(self, salt: bytes, text: str) -> str:
        """The text as it stands in the lines of the device with this salt."""
        return audit_hash(salt, text)

    def parse(self, type_: str, options: Mapping[str, str]) -> DeviceOptions:
        """The options, checked. Raises OptionError."""
        known = _KNOWN.get(type_)
        if known is None:
            raise OptionError("an audit device of this type is not available: use file, socket or syslog")
        if unknown := sorted(set(options) - known):
            name = unknown[0] if unknown[0] in _NAMED else "an unknown name"
            raise OptionError(f"audit option not supported: {name}")
        if options.get("format", "json") not in {"", "json"}:
            raise OptionError("audit option format: only json is supported")
        log_raw = _flag(options, "log_raw", default=False)
        if log_raw and self._production:
            raise OptionError("audit option log_raw is refused in production")
        return replace(
            self._file(options) if type_ == "file" else _remote(type_, options),
            log_raw=log_raw,
            hmac_accessor=_flag(options, "hmac_accessor", default=True),
            elide_list_responses=_flag(options, "elide_list_responses", default=False),
        )

    def _file(self, options: Mapping[str, str]) -> DeviceOptions:
        target = options.get("file_path") or options.get("path") or ""
        if not target:
            raise OptionError("file_path is required")
        fdatasync = _flag(options, "fdatasync", default=False)
        is_file = target not in {STDOUT, DISCARD}
        if fdatasync and not is_file:
            raise OptionError("audit option fdatasync needs a file")
        return DeviceOptions(
            target=target,
            parts=self._parts(target) if is_file else (),
            mode=_mode(options.get("mode", "")),
            fdatasync=fdatasync,
        )

    def _parts(self, target: str) -> tuple[str, ...]:
        if len(target.encode("utf-8", "replace")) > PATH_BYTES_MAX or not target.isprintable():
            raise OptionError("file_path must be printable and at most 1024 bytes long")
        below = target
        if target.startswith("/"):
            root = f"{self.directory}".rstrip("/") + "/"
            if not target.startswith(root):
                raise OptionError("file_path must lie below the directory for audit files (audit.directory)")
            below = target[len(root) :]
        parts = tuple(below.split("/"))
        if any(part in {"", ".", ".."} or len(part.encode()) > NAME_BYTES_MAX for part in parts):
            raise OptionError("file_path must not have empty, '.', '..' or overlong segments")
        if parts[0] == POSITIONS:
            raise OptionError("file_path must not lie in the folder of the positions")
        return parts


def _remote(type_: str, options: Mapping[str, str]) -> DeviceOptions:
    if type_ == "socket":
        endpoint = socket_endpoint(options)
        return DeviceOptions(target=endpoint.name, endpoint=endpoint)
    endpoint, syslog = syslog_endpoint(options)
    return DeviceOptions(target=endpoint.name, endpoint=endpoint, syslog=syslog)


def _flag(options: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = options.get(name)
    if text is None:
        return default
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise OptionError(f"audit option {name} must be true or false")


def _mode(text: str) -> int | None:
    """Octal digits; "0000" leaves an existing file's mode alone, as in Vault. Raises OptionError."""
    if not text:
        return MODE
    try:
        mode = int(text, 8)
    except ValueError:
        raise OptionError("audit option mode must be octal digits") from None
    if mode < 0 or mode & ~MODE_MAX:
        raise OptionError("audit option mode must not make the file executable or writable by everybody")
    return mode or None
