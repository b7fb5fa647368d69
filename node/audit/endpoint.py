"""Where a device sends its lines: an address, how it is spoken to, and for syslog what stands before a line.

Pure: texts are checked here, nobody is called. Invariants: an address is a host with a port or an absolute path, and
quotes nothing else; syslog stays on this machine; what is shown of a wrong option is its name alone.
Source: Vault, "Socket audit device", "Syslog audit device"; RFC 5424, facilities.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..engines.durations import NS, DurationError, parse_duration
from ..request import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

WRITE_TIMEOUT_S = 2.0
WRITE_TIMEOUT_MAX_S = 60.0
UNIX_PATH_BYTES_MAX = 107
DATAGRAM_BYTES_MAX = 64_000  # a line beyond it does not fit a datagram with what syslog writes before it
SYSLOG_ADDRESS = "unix:///dev/log"
FACILITY = "AUTH"
TAG = "strongroom"
FACILITIES = {
    name: number
    for number, name in enumerate(
        ("KERN", "USER", "MAIL", "DAEMON", "AUTH", "SYSLOG", "LPR", "NEWS", "UUCP", "CRON", "AUTHPRIV", "FTP")
    )
} | {f"LOCAL{number}": 16 + number for number in range(8)}

_TYPES = frozenset({"tcp", "udp", "unix", "unixgram"})
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_TAG = re.compile(r"[!-~]{1,48}")


class OptionError(Refusal):
    """400: the device cannot be enabled with these options."""

    def __init__(self, text: str) -> None:
        super().__init__(400, text)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Whom the lines are sent to. `kind`: tcp, udp, unix, unixgram; a path for the last two, else host and port."""

    kind: str
    host: str = ""
    port: int = 0
    path: str = ""
    write_timeout_s: float = WRITE_TIMEOUT_S

    @property
    def is_datagram(self) -> bool:
        """A line is a message of its own."""
        return self.kind in {"udp", "unixgram"}

    @property
    def name(self) -> str:
        """What facts and first lines call it by."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind}://{self.path or f'{host}:{self.port}'}"


@dataclass(frozen=True, slots=True)
class Syslog:
    """What stands before a line."""

    facility: int = FACILITIES[FACILITY]
    tag: str = TAG


def socket_endpoint(options: Mapping[str, str]) -> Endpoint:
    """The options `address`, `socket_type` and `write_timeout` of a socket device. Raises OptionError."""
    kind = options.get("socket_type") or "tcp"
    if kind not in _TYPES:
        raise OptionError("audit option socket_type must be tcp, udp, unix or unixgram")
    address = options.get("address", "")
    if not address:
        raise OptionError("address is required")
    return _endpoint(kind, address, _timeout_s(options))


def syslog_endpoint(options: Mapping[str, str]) -> tuple[Endpoint, Syslog]:
    """The options `address`, `write_timeout`, `facility` and `tag` of a syslog device. Raises OptionError."""
    kind, scheme, rest = (options.get("address") or SYSLOG_ADDRESS).partition("://")
    if not scheme or kind not in {"tcp", "udp", "unix"}:
        raise OptionError("audit option address of a syslog device must begin with unix://, udp:// or tcp://")
    endpoint = _endpoint("unixgram" if kind == "unix" else kind, rest, _timeout_s(options))
    if endpoint.host and not _is_here(endpoint.host):
        raise OptionError("audit option address of a syslog device must be on this machine: its daemon sends on")
    facility = FACILITIES.get((options.get("facility") or FACILITY).upper())
    if facility is None:
        raise OptionError("audit option facility is not one of syslog's")
    tag = options.get("tag") or TAG
    if not _TAG.fullmatch(tag):
        raise OptionError("audit option tag must be 1 to 48 printable ASCII characters without spaces")
    return endpoint, Syslog(facility, tag)


def _endpoint(kind: str, address: str, write_timeout_s: float) -> Endpoint:
    if kind.startswith("unix"):
        parts = address.split("/")
        fits = len(address.encode("utf-8", "replace")) <= UNIX_PATH_BYTES_MAX and address.isprintable()
        if not fits or parts[0] or len(parts) < 2 or not {"", ".", ".."}.isdisjoint(parts[1:]):
            raise OptionError("audit option address must be an absolute path, printable and at most 107 bytes long")
        return Endpoint(kind, path=address, write_timeout_s=write_timeout_s)
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        is_host = _is_ip(host)
    else:
        is_host = _HOST.fullmatch(host) is not None
    is_port = port.isascii() and port.isdecimal() and len(port) <= 5 and 0 < int(port) < 1 << 16
    if not (colon and is_host and is_port):
        raise OptionError("audit option address must be HOST:PORT")
    return Endpoint(kind, host, int(port), write_timeout_s=write_timeout_s)


def _timeout_s(options: Mapping[str, str]) -> float:
    text = options.get("write_timeout", "")
    if not text:
        return WRITE_TIMEOUT_S
    try:
        timeout_s = parse_duration(text) / NS
    except DurationError:
        raise OptionError("audit option write_timeout must be a duration") from None
    if not 0 < timeout_s <= WRITE_TIMEOUT_MAX_S:
        raise OptionError("audit option write_timeout must be more than 0 and at most 60s")
    return timeout_s


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host


def _is_here(host: str) -> bool:
    return host == "localhost" or (_is_ip(host) and ipaddress.ip_address(host).is_loopback)
