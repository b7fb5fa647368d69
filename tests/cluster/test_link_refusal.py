"""What the log says of a link that TLS refused: once, and in words that name the cure."""

from __future__ import annotations

import math
import ssl
from typing import TYPE_CHECKING

import pytest

from cluster.links.certs import write_certificates
from cluster.links.tls import Tls, refusal, tls_contexts

if TYPE_CHECKING:
    from pathlib import Path

NOW_NS = 1_800_000_000_000_000_000
ENDED = "the certificate of this node has ended"
HUNG_UP = "hung up before its hello"


def made(ends_ns: float) -> Tls:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return Tls(context, context, b"", ends_ns)


def alert() -> ssl.SSLError:
    error = ssl.SSLError(1, "received bytes that must not be repeated")
    error.reason = "TLSV1_ALERT_UNKNOWN_CA"
    return error


@pytest.mark.parametrize(
    ("ends_ns", "error", "expected"),
    [
        (NOW_NS - 1, None, ENDED),
        (NOW_NS - 1, ConnectionRefusedError(), ENDED),
        (NOW_NS + 1, None, HUNG_UP),
        (math.inf, alert(), "TLSV1_ALERT_UNKNOWN_CA"),
        (math.inf, ssl.SSLError(1, "received bytes"), "SSLError"),
    ],
)
def test_a_refused_link_says_why(ends_ns: float, error: Exception | None, expected: str) -> None:
    """Our own certificate's end comes first: it explains all the others."""
    why = refusal(made(ends_ns), error, NOW_NS)

    assert why is not None
    assert expected in why
    assert "received bytes" not in why


@pytest.mark.parametrize("error", [ConnectionRefusedError(), TimeoutError(), OSError(113, "no route")])
def test_a_peer_that_is_only_away_is_no_refusal(error: Exception) -> None:
    """Nothing is said of it here."""
    assert refusal(made(math.inf), error, NOW_NS) is None


def test_the_end_of_a_certificate_is_read_from_its_file(tmp_path: Path) -> None:
    """In nanoseconds since the epoch, thirty days from now."""
    write_certificates(tmp_path, {"n1": ["127.0.0.1"]}, None, days=30)
    files = (str(tmp_path / name) for name in ("n1.pem", "n1.key", "ca.pem"))
    days = (tls_contexts(*files).ends_ns / 1e9 - _now_s()) / 86400

    assert 29.9 < days < 30.1


def _now_s() -> float:
    import time

    return time.time()
