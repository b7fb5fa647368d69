"""Do the files that a configuration names fit it? All objections, as sentences with the key and the file.

Looks at files, and changes none. What check.py says of the configuration alone comes first: whoever calls this has
asked it. No sentence repeats what is in a file.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .document import Config
    from .replication import Sink


def file_problems(config: Config, *, starting: bool = False) -> list[str]:
    """Every objection to these files, empty if there is none.

    `starting`: only what a node cannot start without. The key file of its seal may come later; it is sealed until then.
    """
    found = [sentence for key, file in _named(config, starting) if (sentence := _unreadable(key, file))]
    return found or [*_pairs(config), *_authority(config), *_identity(config), *_sinks(config)]


def _named(config: Config, starting: bool) -> Iterator[tuple[str, str]]:
    """(key, file) of each that this node reads when it starts."""
    if config.api.tls == "on":
        yield "api: tls_cert_file", config.api.tls_cert_file
        yield "api: tls_key_file", config.api.tls_key_file
    if config.api.cert_address:
        yield "api: cert_client_ca_file", config.api.cert_client_ca_file
    if _is_linked(config):
        yield "peer: tls_cert_file", config.peer.tls_cert_file
        yield "peer: tls_key_file", config.peer.tls_key_file
        yield "peer: tls_ca_file", config.peer.tls_ca_file
    if config.seal.type == "static" and not starting:
        yield "seal: key_file", config.seal.key_file
    if config.seal.type == "transit":
        yield "seal: transit_tls_ca_file", config.seal.transit_tls_ca_file
        if not starting:
            yield "seal: transit_token_file", config.seal.transit_token_file
    for sink in config.backup.sinks:
        yield f"backup: sink {sink.name}: password_file", sink.password_file


def _is_linked(config: Config) -> bool:
    return bool(config.peer.address and config.peer.members)


def _unreadable(key: str, file: str) -> str:
    if not file:
        return ""
    try:
        if Path(file).is_fifo():  # what a shell makes of <(…): it can be opened only once
            return ""
        with Path(file).open("rb"):
            return ""
    except OSError as error:
        return f"{key}: {file} cannot be read: {error.strerror}"


def _pairs(config: Config) -> Iterator[str]:
    """A certificate and a key that do not belong together."""
    api, peer = config.api, config.peer
    pairs = [("api", api.tls_cert_file, api.tls_key_file)] if api.tls == "on" else []
    if _is_linked(config):
        pairs.append(("peer", peer.tls_cert_file, peer.tls_key_file))
    for section, cert_file, key_file in pairs:
        if not (cert_file and key_file):
            continue
        try:
            # an empty password: a key that needs one is refused, not asked for at the terminal
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert_file, key_file, password="")
        except (ssl.SSLError, ValueError) as error:
            reason = getattr(error, "reason", None) or ""
            if reason == "KEY_VALUES_MISMATCH":
                yield f"{section}: the key in tls_key_file ({key_file}) is not that of the certificate in {cert_file}"
            else:
                yield (
                    f"{section}: tls_cert_file ({cert_file}) and tls_key_file ({key_file}) "
                    "must be a certificate and its key, PEM, without a password"
                )


def _authority(config: Config) -> Iterator[str]:
    for key, file, is_used in (
        ("api: cert_client_ca_file", config.api.cert_client_ca_file, bool(config.api.cert_address)),
        ("peer: tls_ca_file", config.peer.tls_ca_file, _is_linked(config)),
        ("seal: transit_tls_ca_file", config.seal.transit_tls_ca_file, config.seal.type == "transit"),
    ):
        if not is_used or not file:
            continue
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
        except (ssl.SSLError, ValueError):
            yield f"{key} ({file}) must hold certificates, PEM"


def _identity(config: Config) -> Iterator[str]:
    """A certificate of another node, or of another cluster: the members would refuse this one, or take it for that."""
    from cluster import certificate_names

    file = config.peer.tls_cert_file
    if not _is_linked(config) or not file:
        return
    named = certificate_names(Path(file))
    if named is None:
        yield f"peer: tls_cert_file ({file}) names no node: make one with `strongroom operator certs`"
        return
    cluster_name, node_id = named
    if node_id != config.node.id:
        yield f"peer: tls_cert_file ({file}) is of node {node_id!r}, but node.id is {config.node.id!r}"
    if cluster_name != config.node.cluster_name:
        yield (
            f"peer: tls_cert_file ({file}) is of cluster {cluster_name!r}, "
            f"but node.cluster_name is {config.node.cluster_name!r}"
        )


def _sinks(config: Config) -> Iterator[str]:
    """What the sink itself would refuse of its URL and password: here because it loads the libraries of its kind."""
    from cluster import SinkRefusedError, open_sink

    for sink in config.backup.sinks:
        name = f"backup: sink {sink.name}"
        try:
            open_sink(sink.url, password=_password(sink))
        except SinkRefusedError as error:
            yield f"{name}: {error}"
        except UnicodeDecodeError:
            yield f"{name}: password_file: {sink.password_file} is not UTF-8 text"


def _password(sink: Sink) -> str | None:
    """From its file, unless that is a pipe, or its variable. Raises UnicodeDecodeError."""
    if sink.password_file and Path(sink.password_file).is_fifo():
        return "pipe:pipe"  # any that may be one: it cannot be read twice
    if sink.password_file:
        return Path(sink.password_file).read_text(encoding="utf-8").strip()
    return sink.password.reveal() or None
