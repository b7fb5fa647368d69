"""Rules for the URL of a backup sink, and how such a URL may be shown. Pure.

Source: docs/threat-model.md; asyncpg falls back to clear text unless `sslmode` forbids it, so it must be said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from .document import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .replication import Sink


def shown_url(url: str) -> str:
    """Scheme, host and name: no user, password or option survives."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return "***"
    if not parts.scheme:
        return "***"
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}{port}{parts.path}" if host or parts.path else f"{parts.scheme}:"


def sink_problems(sink: Sink, profile: str) -> Iterator[str]:
    """Every objection to one sink; none of them repeats its URL."""
    name = f"backup: sink {sink.name}"
    if not sink.name:
        yield "backup: sinks must have names"
    if sink.password and sink.password_file:
        yield f"{name}: password and password_file must not both be given"
    try:
        parts = urlsplit(sink.url)
        options = parse_qs(parts.query, keep_blank_values=True)
        host, has_password = parts.hostname or "", parts.password is not None
        for endpoint in options.get("endpoint", []):
            urlsplit(endpoint)
    except ValueError:
        yield f"{name}: url cannot be read"
        return
    if has_password or any("password" in key.lower() or "secret" in key.lower() for key in options):
        yield f"{name}: url must not hold a password; use password_file"
    match parts.scheme:
        case "sqlite":
            if host or len(parts.path) < 2:
                yield f"{name}: url must be sqlite:///PATH"
        case "postgresql":
            yield from _postgresql(name, host, options)
        case "s3":
            if not host:
                yield f"{name}: url must name a bucket, s3://BUCKET/PREFIX"
            if not all(_is_safe(endpoint, profile) for endpoint in options.get("endpoint", [])):
                yield f"{name}: endpoint must be https"
        case "memory":
            if profile == "production":
                yield f"{name}: memory: is for profile dev"
        case _:
            yield f"{name}: url must begin with sqlite:, postgresql:, s3: or memory:"
    if sink.scope == "local" and parts.scheme not in {"sqlite", "memory"}:
        yield f"{name}: scope local is for a file of this node"


def _postgresql(name: str, host: str, options: dict[str, list[str]]) -> Iterator[str]:
    hosts = [host, *options.get("host", [])]
    beyond = any(item and not item.startswith("/") and not is_loopback(item) for item in hosts)
    if not any(hosts):
        yield f"{name}: url must name a host"
    if beyond and options.get("sslmode") != ["verify-full"]:
        yield f"{name}: sslmode must be verify-full beyond loopback"


def _is_safe(endpoint: str, profile: str) -> bool:
    """TLS, or a server of the same machine where nothing is at stake. Raises ValueError."""
    parts = urlsplit(endpoint)
    return parts.scheme == "https" or (profile != "production" and is_loopback(parts.hostname or ""))
