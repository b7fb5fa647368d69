"""The URL of a sink made into the sink. Nothing is connected or opened here.

Reads nothing but its arguments. What is not understood is refused, and no refusal repeats the URL: it may hold what
should not be there. Source: docs/threat-model.md, backup.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from .base import SinkRefusedError
from .loopback import is_loopback

if TYPE_CHECKING:
    from .base import Sink
    from .postgres_link import Target
    from .s3_bucket import Target as BucketTarget

TIMEOUT_S = 5.0
_S3 = {"endpoint", "region", "ca_file"}
_POSTGRES = {"sslmode", "sslrootcert", "host", "schema"}


def open_sink(url: str, *, password: str | None = None, timeout_s: float = TIMEOUT_S) -> Sink:
    """The sink that the URL names, not yet opened; no call of it takes much longer than `timeout_s`.

    Raises SinkRefusedError. The libraries of a kind of sink are loaded only for it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise SinkRefusedError("the sink's URL cannot be read") from None
    if parts.password is not None or any("password" in key.lower() or "secret" in key.lower() for key in options):
        raise SinkRefusedError("the sink's URL must not hold a password: it is given by a variable or a file")
    if parts.fragment:
        raise SinkRefusedError("the sink's URL must end before any #")
    if parts.scheme == "memory":
        from .memory import MemorySink

        return MemorySink()
    if parts.scheme == "sqlite":
        return _sqlite(parts, timeout_s)
    if parts.scheme == "snapshot":
        return _snapshot(parts)
    if parts.scheme == "postgresql":
        from .postgres import PostgresSink

        return PostgresSink(_target(parts, port, options), password, timeout_s=timeout_s)
    if parts.scheme == "s3":
        from .s3 import S3Sink

        return S3Sink(_bucket(parts, port, options), password, timeout_s=timeout_s)
    raise SinkRefusedError("the sink's URL must begin with sqlite:, postgresql:, s3: or memory:")


def _sqlite(parts: SplitResult, timeout_s: float) -> Sink:
    from .sqlite import SqliteSink

    path = unquote(parts.path)
    if parts.netloc or parts.query or len(path) < 2 or "\0" in path:
        raise SinkRefusedError("the sink's URL must be sqlite:///PATH")
    return SqliteSink(Path(path), timeout_s=timeout_s * 0.8)


def _snapshot(parts: SplitResult) -> Sink:
    from .snapshot import SnapshotSink

    path = unquote(parts.path)
    if parts.netloc or parts.query or len(path) < 2 or "\0" in path:
        raise SinkRefusedError("the snapshot's URL must be snapshot:///PATH")
    return SnapshotSink(Path(path))


def _target(parts: SplitResult, port: int | None, options: dict[str, str]) -> Target:
    """Where the server is, and how to speak to it. Raises SinkRefusedError."""
    from .postgres_link import PORT, Target
    from .postgres_schema import check_name

    if options.keys() - _POSTGRES:
        raise SinkRefusedError("postgresql: the URL has options that are not known")
    if parts.hostname and "host" in options:
        raise SinkRefusedError("postgresql: the URL names two hosts")
    host = parts.hostname or options.get("host", "")
    user, database = unquote(parts.username or ""), unquote(parts.path.removeprefix("/"))
    if not host or not user or not database or any(mark in host for mark in ",%\0"):
        raise SinkRefusedError("postgresql: the URL must be postgresql://USER@HOST/DATABASE, of one host")
    if "\0" in user + database:
        raise SinkRefusedError("postgresql: the URL must be postgresql://USER@HOST/DATABASE, of one host")
    mode = options.get("sslmode")
    beyond = not host.startswith("/") and not is_loopback(host)
    if beyond and mode != "verify-full":
        raise SinkRefusedError("postgresql: beyond this machine sslmode must be verify-full")
    if mode not in {None, "disable", "verify-full"}:
        raise SinkRefusedError("postgresql: sslmode is verify-full, or disable on this machine")
    return Target(
        host, port or PORT, user, database, check_name(options.get("schema", "strongroom")),
        tls=mode == "verify-full", ca_file=options.get("sslrootcert", ""),
    )  # fmt: skip


def _bucket(parts: SplitResult, port: int | None, options: dict[str, str]) -> BucketTarget:
    """Where the bucket is. Raises SinkRefusedError."""
    from .s3_bucket import REGION, Target

    if options.keys() - _S3:
        raise SinkRefusedError("s3: the URL has options that are not known")
    bucket, prefix = parts.hostname or "", parts.path.strip("/")
    is_plain = parts.netloc == bucket and port is None and re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket)
    if not is_plain or not re.fullmatch(r"([\w-][\w.-]*(/[\w-][\w.-]*)*)?", prefix, re.ASCII):
        raise SinkRefusedError("s3: the URL must be s3://BUCKET/PREFIX, of letters, digits and ._-")
    region = options.get("region", REGION)
    if not re.fullmatch(r"[a-zA-Z0-9-]+", region):
        raise SinkRefusedError("s3: the region is made of letters, digits and -")
    endpoint = options.get("endpoint", f"https://s3.{region}.amazonaws.com")
    return Target(bucket, prefix, _checked_endpoint(endpoint), region, options.get("ca_file", ""))


def _checked_endpoint(endpoint: str) -> str:
    """https://HOST[:PORT], or http: on this machine. Raises SinkRefusedError."""
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise SinkRefusedError("s3: the endpoint cannot be read") from None
    shown = f"[{host}]" if ":" in host else host
    netloc = shown if port is None else f"{shown}:{port}"
    if not host or parts.scheme not in {"http", "https"} or endpoint.rstrip("/") != f"{parts.scheme}://{netloc}":
        raise SinkRefusedError("s3: the endpoint must be https://HOST or https://HOST:PORT")
    if parts.scheme == "http" and not is_loopback(host):
        raise SinkRefusedError("s3: beyond this machine the endpoint must be https")
    return f"{parts.scheme}://{netloc}"
