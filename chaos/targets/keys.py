"""Bringing nodes from their first start, or any later one, to where they serve: init, shares, mounts, audit devices."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from chaos.api import Admin

from .base import TargetError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

POLL_S: Final = 0.03
START_S: Final = 40.0
INIT_SECRET: Final = "init-secret"  # noqa: S105 - a file, in a data folder, until the cluster is initialised
T = TypeVar("T")


def wait_until(check: Callable[[], T], what: str, timeout_s: float = START_S, poll_s: float = POLL_S) -> T:
    """The first true answer of `check`; an OSError in it counts as false. Raises TargetError."""
    end_s = time.monotonic() + timeout_s
    while True:
        try:
            found = check()
        except OSError:
            found = None
        if found:
            return found
        if time.monotonic() > end_s:
            raise TargetError(f"not within {timeout_s:g} s: {what}")
        time.sleep(poll_s)


def initialise(
    urls: Mapping[str, str], ca_file: Path | None, shares: int = 1, threshold: int = 1, secret: Path | None = None
) -> tuple[list[str], str]:
    """(shares, root token) of a new cluster whose nodes all listen and know none.

    `secret` is where the first node writes what proves, over TLS, that whoever asks may read its data folder.
    """
    anonymous = Admin(urls, "", ca_file)
    first = next(iter(urls))

    def asked() -> Any:
        body = {"secret_shares": shares, "secret_threshold": threshold}
        known = secret.read_text(encoding="ascii").strip() if secret is not None else ""
        if secret is not None and not known:  # it is being written
            return None
        headers = {"X-Strongroom-Init-Secret": known} if known else {}
        reply = anonymous.ask("PUT", "sys/init", body, node=first, headers=headers, timeout_s=60.0)
        return reply.body if reply.status == 200 else None

    made = wait_until(asked, "the cluster is initialised")
    return list(made["keys_base64"]), str(made["root_token"])


def unseal(
    url: str, node: str, shares: Sequence[str], ca_file: Path | None, timeout_s: float = START_S,
    alive: Callable[[], bool] = lambda: True,
) -> None:  # fmt: skip
    """The node has its keys, once it listens and knows the cluster. Raises TargetError, at once if it has ended."""
    asks = Admin({node: url}, "", ca_file)

    def opened() -> bool:
        if not alive():
            raise TargetError(f"{node} has ended")
        status = asks.ask("GET", "sys/seal-status", timeout_s=5.0).body
        if not status["initialized"]:
            return False
        if not status["sealed"]:
            return True
        return any(
            not (asks.ask("PUT", "sys/unseal", {"key": share}, timeout_s=30.0).body or {}).get("sealed", True)
            for share in shares
        )

    wait_until(opened, f"{node} has its keys", timeout_s)


def ready(admin: Admin, node: str) -> bool:
    """The node serves strong reads. Raises OSError."""
    return admin.ask("GET", "/readyz", node=node, timeout_s=2.0).status == 200


def furnish(admin: Admin, nodes: Sequence[str], audit_devices: int) -> None:
    """All serve; KV v2 is at secret/, and the audit devices are on: audit1.log, audit2.log … in each node's folder."""
    for node in nodes:
        wait_until(partial(ready, admin, node), f"{node} serves")

    def mounted() -> bool:
        reply = admin.ask("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
        return reply.status == 204 or (reply.status == 400 and "already in use" in str(reply.body))

    wait_until(mounted, "the first write is taken")
    for number in range(1, audit_devices + 1):
        body = {"type": "file", "options": {"file_path": f"audit{number}.log"}}
        admin.must("PUT", f"sys/audit/file{number}", body)
