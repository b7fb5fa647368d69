"""Whatever is secret is compared in constant time, and found by a keyed hash: no comparison tells how far it went.

Two looks: at the source, where nothing that is called a secret stands beside `==` or `in`; and at the places where
somebody's guess meets a secret, which ask `hmac.compare_digest` (GHSA-34fc-gh42-pj53).
"""

from __future__ import annotations

import ast
import hmac
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node import indexes, rekey, seal_desk
from node.auth import passwords
from node.config import Api
from node.http import headers
from tests.node.flow_site import Site, make_config, start_server

ROOT = Path(__file__).parents[2]
SECRET = re.compile(
    r"(?:.*_)?(?:token|secret_id|mac|hmac|proof|share|root_key|key_check|password|otp|challenge|nonce|private_key|bearer)"
    r"|.+_secret"
)
HARMLESS = {
    ("node/engines/wrapping_tokens.py", "raw_token", "request.token"): "both are what one client sent",
    ("node/audit/verify.py", "unsure.mac", "self._base"): "a file beside its own neighbour; who reads it has both",
    ("node/audit/verify.py", "before.mac", "self._base"): "the same",
    ("node/audit/verify.py", "known", "line.mac"): "a head that the cluster shows, and a line of a file",
    ("node/audit/verify.py", "known", "base.mac"): "the same",
    ("node/audit/security_chain.py", "", "mac"): "a hash without a key",
    ("cluster/state/sweeps.py", "owner.token", "key"): "the key of a record, a hash",
}
"""File and both sides → why nobody learns anything from how long it takes."""


def compared(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Both sides, as written, of every comparison that stops where they differ."""
    for one in ast.walk(tree):
        if not isinstance(one, ast.Compare):
            continue
        sides = [one.left, *one.comparators]
        for at, operator in enumerate(one.ops):
            if isinstance(operator, (ast.Eq, ast.NotEq)):
                yield ast.unparse(sides[at]), ast.unparse(sides[at + 1])


def secret(side: str) -> bool:
    return re.fullmatch(r"[\w.]+", side) is not None and SECRET.fullmatch(side.rpartition(".")[2]) is not None


def found(path: Path, text: str) -> list[tuple[str, str, str]]:
    name = path.relative_to(ROOT).as_posix()
    pairs = [
        (name, *("" if "(" in side else side for side in pair))
        for pair in compared(ast.parse(text))
        if any(map(secret, pair)) and not any(side in {"None", "''", "b''", '""'} for side in pair)
    ]
    return [pair for pair in pairs if pair not in HARMLESS]


def test_no_secret_is_compared_byte_by_byte() -> None:
    """In the whole product; what is harmless is listed with its reason."""
    files = [path for folder in ("node", "cluster") for path in sorted((ROOT / folder).rglob("*.py"))]
    everything = [pair for path in files for pair in found(path, path.read_text(encoding="utf-8"))]

    assert everything == []
    assert len(files) > 250


def test_a_comparison_that_tells_is_found() -> None:
    """The twin."""
    text = "if given.token == known or mac != self._mac:\n    pass\nx = hmac.compare_digest(token, known)\n"

    assert found(ROOT / "node/x.py", text) == [
        ("node/x.py", "given.token", "known"), ("node/x.py", "mac", "self._mac"),
    ]  # fmt: skip


class Watched:
    """`hmac.compare_digest`, and what was given to it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *modules: Any) -> None:
        self.pairs: list[tuple[bytes, bytes]] = []
        names = {name: staticmethod(getattr(hmac, name)) for name in ("new", "digest")}
        watched = type("Hmac", (), names | {"compare_digest": staticmethod(self._compare)})
        for module in modules:
            monkeypatch.setattr(module, "hmac", watched)

    def _compare(self, one: bytes, other: bytes) -> bool:
        self.pairs.append((one, other))
        return hmac.compare_digest(one, other)


async def test_the_secret_of_init_is_compared_in_constant_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong one with all of the right one's beginning, too."""
    api = Api(address="127.0.0.1:0", advertise="https://localhost:8200", tls="on")
    server = await start_server(make_config(tmp_path, "n1", api=api), tmp_path)
    known = (tmp_path / "data" / "init-secret").read_text()
    watched = Watched(monkeypatch, seal_desk)
    guess = known[:-1] + ("0" if known[-1] != "0" else "1")
    reply = await server.ask(
        "PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1},
        address="192.0.2.1", headers=[("X-Strongroom-Init-Secret", guess)],
    )  # fmt: skip
    await server.node.stop()

    assert (reply.status, watched.pairs) == (403, [(guess.encode(), known.encode())])


@pytest.mark.asyncio(loop_scope="session")
async def test_states_nonces_and_bearers_are_compared_in_constant_time(
    one: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a client says it has seen, the name of an operation of keys, two tokens in one request."""
    watched = Watched(monkeypatch, indexes, rekey, headers)
    state = (await one.must("GET", "sys/mounts")).headers["X-Vault-Index"]
    await one.ask("GET", "sys/mounts", headers=[("X-Vault-Index", state)])
    nonce = (await one.must("PUT", "sys/generate-root-token/attempt", {})).data["nonce"]
    wrong = await one.ask("PUT", "sys/generate-root-token/update", {"key": "00" * 33, "nonce": "guess"})
    await one.must("DELETE", "sys/generate-root-token/attempt")
    await one.ask("GET", "sys/mounts", headers=[("Authorization", f"Bearer {one.token}")])

    assert wrong.status == 400
    assert (b"guess", nonce.encode()) in watched.pairs
    assert (one.token.encode(), one.token.encode()) in watched.pairs
    assert any(len(mac) == 64 for mac, _ in watched.pairs)


def test_passwords_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their derived keys are."""
    watched = Watched(monkeypatch, passwords)
    stored = passwords.hashing("right", b"1" * 16)()
    results = [passwords.proving(password, stored)().opens(stored) for password in ("right", "wrong")]

    assert results == [True, False]
    assert [other for _, other in watched.pairs] == [stored.key] * 2
