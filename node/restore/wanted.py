"""Who the members of the restored cluster are, and where its sinks are: from a configuration, or from words.

Reads certificates and password files. Source: docs/backup.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cluster import Expected, StrongroomError, certificate_der, public_key_sha256, records

from ..backup_desk import password_of
from ..config.document import split_address
from .places import Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..config import Config, Sink


HASH_BYTES = 32
INDEX_DIGITS_MAX = 20


class Wanted(NamedTuple):
    """The cluster that is to be. `cluster_name` empty: as it was."""

    members: dict[str, records.Member]
    cluster_name: str
    profile: str
    folders: list[Path]
    places: list[Place]


class WantedError(StrongroomError):
    """The words cannot be meant."""


def expected_of(word: str) -> Expected:
    """INDEX:HASH, as `backup status` prints it. Raises WantedError."""
    index, colon, digits = word.strip().partition(":")
    try:
        raw = bytes.fromhex(digits)
    except ValueError:
        raw = b""
    is_index = index.isascii() and index.isdigit() and len(index) <= INDEX_DIGITS_MAX
    if not colon or not is_index or len(raw) != HASH_BYTES:
        raise WantedError("what is expected must be INDEX:HASH, as `strongroom backup status` prints it")
    return Expected(int(index), raw)


def of_config(config: Config) -> Wanted:
    """The cluster of a node's configuration, and the folder of that node. Raises OSError, WantedError."""
    members = {}
    for one in config.peer.members:
        spki = own_spki(config) if one.id == config.node.id else _beside(config, one.id)
        members[one.id] = records.Member(peer_address=one.peer, api_address=one.api, spki=spki)
    if not members:
        members[config.node.id] = records.Member(
            peer_address=config.peer.address or _next_port(config.api.address), api_address=config.advertise_url
        )
    places = [Place(sink.url, _password_of(sink), sink.name) for sink in config.backup.sinks]
    return Wanted(members, config.node.cluster_name, config.profile, [Path(config.node.data_dir)], places)


def own_spki(config: Config) -> bytes:
    """SHA-256 of the public key of the node's certificate, empty if it has none. Raises OSError, WantedError."""
    file = config.peer.tls_cert_file
    return _spki(Path(file)) if file else b""


def _beside(config: Config, node_id: str) -> bytes:
    """The same of another member, if its certificate stands beside this node's (`operator certs` names it so)."""
    file = config.peer.tls_cert_file
    other = Path(file).parent / f"{node_id}.pem" if file else Path()
    return _spki(other) if file and other.is_file() else b""


def _spki(file: Path) -> bytes:
    try:
        return public_key_sha256(certificate_der(file))
    except ValueError:
        raise WantedError(f"{file} must hold a certificate, PEM") from None


def _password_of(sink: Sink) -> str | None:
    try:
        return password_of(sink)
    except UnicodeDecodeError:
        raise WantedError(f"backup: sink {sink.name}: password_file: {sink.password_file} is not UTF-8 text") from None


def _next_port(address: str) -> str:
    host, port = split_address(address) or ("127.0.0.1", 0)
    return f"{host}:{port + 1}"


def of_words(words: Sequence[str], folders: Sequence[Path], profile: str, cluster_name: str) -> Wanted:
    """`ID=HOST:PORT,URL` of each member. Raises WantedError."""
    members = {}
    for word in words:
        node_id, equals, rest = word.partition("=")
        peer, comma, api = rest.partition(",")
        if not equals or not comma or not node_id or split_address(peer) is None or "://" not in api:
            raise WantedError("each member must be ID=HOST:PORT,URL, such as n1=10.0.0.1:8201,https://10.0.0.1:8200")
        if node_id in members:
            raise WantedError(f"member {node_id} is named twice")
        members[node_id] = records.Member(peer_address=peer, api_address=api)
    if not members:
        raise WantedError("the members of the new cluster are not known: give -config FILE, or -member for each")
    if len(folders) > len(members):
        raise WantedError("there are more folders than members")
    return Wanted(members, cluster_name, profile, list(folders), [])
