"""Encryption as a service over HTTP: one node on core 0 with wrk on core 1, by the standard type of key.

A shell. A batch counts its items; processor time is that of one item.
"""

from __future__ import annotations

import base64
import contextlib
import os
from typing import TYPE_CHECKING

from . import nodes, wrk, yardsticks
from .posts import Post, Posts
from .processes import BenchError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .figures import Figure
    from .nodes import Nodes
    from .options import Sizes

GROUP = "transit"
MISSING = "nginx is not installed here (apt install nginx-light)"
POLICY = """
path "transit/encrypt/bench" { capabilities = ["update"] }
path "transit/decrypt/bench" { capabilities = ["update"] }
"""
KEY = "transit/keys/bench"
SMALL_BYTES = 32
LARGE_BYTES = 1024
BATCH = 100


def measure(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    """See the module's paragraph. Raises BenchError."""
    if not wrk.there():
        raise BenchError("wrk is not installed (apt install wrk)")
    many = sizes.connections[-1]
    with contextlib.ExitStack() as stack:
        nginx = stack.enter_context(yardsticks.nginx(folder / "nginx"))
        cluster = stack.enter_context(nodes.running(folder / "single", count=1, core=0))
        beside = None if nginx is None else (lambda connections: nginx.measure(sizes.yardstick_s, connections))
        posts = Posts(GROUP, cluster, sizes, beside, MISSING, core=1)
        make_key(cluster)
        for name, post, each in asked(cluster):
            yield posts.figure(f"transit {name}, single node", cluster.nodes[0], post, many, each)


def make_key(cluster: Nodes) -> None:
    """A mount with a key, which the cluster's token may use. Raises BenchError."""
    cluster.root("POST", "sys/mounts/transit", {"type": "transit"})
    cluster.root("POST", KEY, {})
    cluster.make_token("bench-transit", POLICY)


def asked(cluster: Nodes) -> Iterator[tuple[str, Post, int]]:
    """(what it is called, what is asked, how many that is). Raises BenchError."""
    small, large = text(SMALL_BYTES), text(LARGE_BYTES)
    made = cluster.root("POST", "transit/encrypt/bench", {"plaintext": small})["data"]["ciphertext"]
    batch = [{"plaintext": text(SMALL_BYTES)} for _ in range(BATCH)]
    for name, path, body, each in (
        (f"encrypt, {SMALL_BYTES} bytes", "encrypt", {"plaintext": small}, 1),
        ("encrypt, 1 KiB", "encrypt", {"plaintext": large}, 1),
        (f"encrypt, batches of {BATCH}", "encrypt", {"batch_input": batch}, BATCH),
        (f"decrypt, {SMALL_BYTES} bytes", "decrypt", {"ciphertext": made}, 1),
    ):
        yield name, Post(f"transit/{path}/bench", body, cluster.token), each


def text(length: int) -> str:
    """So many random bytes, as the engine takes them."""
    return base64.b64encode(os.urandom(length)).decode()
