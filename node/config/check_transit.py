"""Rules for the other vault of `seal.type = "transit"`. Pure. Source: docs/threat-model.md, keys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .document import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .replication import Seal

_PATH = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*", re.ASCII)
_NAME = re.compile(r"[\w-][\w.-]*", re.ASCII)


def transit_problems(seal: Seal) -> Iterator[str]:
    """Every objection to what is said of the other vault; none of them repeats its URL."""
    if seal.type != "transit":
        if seal.transit_address or seal.transit_token_file or seal.transit_key_name or seal.transit_tls_ca_file:
            yield "seal: transit_address and its kin are for type transit"
        return
    if not (seal.transit_address and seal.transit_token_file and seal.transit_key_name):
        yield "seal: type transit needs transit_address, transit_token_file and transit_key_name"
    if seal.transit_address:
        yield from _address(seal.transit_address)
    if not _PATH.fullmatch(seal.transit_mount_path.strip("/")):
        yield "seal: transit_mount_path must be a path of letters, digits and ._-"
    if seal.transit_key_name and not _NAME.fullmatch(seal.transit_key_name):
        yield "seal: transit_key_name must be letters, digits and ._-"


def _address(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        yield "seal: transit_address cannot be read"
        return
    if parts.username is not None or parts.password is not None:
        yield "seal: transit_address must not hold a user or password"
    elif parts.scheme not in {"http", "https"} or not host or port == 0 or parts.path.strip("/") or parts.query:
        yield "seal: transit_address must be a URL such as https://vault.example:8200"
    elif parts.scheme == "http" and not is_loopback(host):
        yield "seal: transit_address must be https beyond this machine: a token goes there"
