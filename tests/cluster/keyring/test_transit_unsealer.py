"""The transit unsealer: what is asked of the other vault, what it may answer, and that nothing of it is said."""

from __future__ import annotations

import base64
import json
import os
import stat
from typing import Any

import pytest

from cluster.errors import DamagedError, WrongKeyError
from cluster.keyring import initialise, read_seal, rekey
from cluster.keyring.seal import NewSeal, open_envelope, reseal
from cluster.keyring.unsealers import static, transit
from cluster.keyring.unsealers.static import FileContent, KeyFileError
from cluster.keyring.unsealers.transit import (
    Said,
    Transit,
    TransitRefusedError,
    TransitSettings,
    TransitUnavailableError,
)

CLUSTER_ID = b"cluster-of-tests"
TOKEN = "hvs.planted"
SETTINGS = TransitSettings("https://other.example:8200", "/token", "unseal key", "team/transit/")


class Random:
    """Every draw another one."""

    def bytes(self, count: int) -> bytes:
        return os.urandom(count)

    def uniform(self) -> float:
        return 0.5


class TokenFile:
    """The token's file, as the system would describe it."""

    def __init__(self, data: bytes = TOKEN.encode() + b"\n", mode: int = stat.S_IFREG | 0o600) -> None:
        self.data, self.mode = data, mode

    def read(self, _path: str, _bytes_max: int) -> FileContent:
        return FileContent(self.mode, 7, 7, bytearray(self.data))


class Other:
    """The other vault: it gives back what it encrypted, or what a test wants."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.bodies: list[bytes] = []
        self.answer: Said | None = None
        self.verbs: tuple[str, ...] = ("encrypt", "decrypt")  # that `answer` stands for

    def __call__(self, path: str, token: str, body: bytes) -> Said:
        self.asked.append((path, token))
        self.bodies.append(body)
        verb = next((one for one in ("encrypt", "decrypt", "renew-self") if one in path), "")
        if self.answer is not None and verb in self.verbs:
            return self.answer
        fields = json.loads(body)
        if verb == "encrypt":
            return said(ciphertext=f"vault:v1:{fields['plaintext'][::-1]}")
        if verb == "decrypt":
            return said(plaintext=fields["ciphertext"].removeprefix("vault:v1:")[::-1])
        return Said(200, b'{"auth": {"lease_duration": 900}}')


def said(**data: Any) -> Said:
    return Said(200, json.dumps({"data": data}).encode())


def vault(other: Other | None = None, files: TokenFile | None = None) -> Transit:
    return Transit(SETTINGS, other or Other(), files or TokenFile())


def make(transit: Transit) -> NewSeal:
    wrap = transit.prepare(Random())
    return initialise(Random(), CLUSTER_ID, 1, seal_type="transit", shares=0, threshold=0, peers=False, wrap=wrap)


def test_what_it_encrypted_opens_the_cluster() -> None:
    """With a key that is drawn for one wrapping; the token goes in its header, the path is as configured."""
    other = Other()
    new = make(vault(other))
    unsealed = vault(other).unseal(new.envelope)

    assert unsealed.root_key == new.root_key
    assert unsealed.keyring.encode() == new.keyring.encode()
    assert {path for path, _ in other.asked} == {
        "team/transit/encrypt/unseal%20key", "team/transit/decrypt/unseal%20key",
    }  # fmt: skip
    assert {token for _, token in other.asked} == {TOKEN}


def test_the_root_key_never_leaves() -> None:
    """Neither in what is asked of the other vault nor in the envelope; two wrappings share nothing."""
    other = Other()
    new, second = make(vault(other)), make(vault(other))
    root = bytes(new.root_key)

    assert not [body for body in other.bodies if base64.b64encode(root) in body or root.hex().encode() in body]
    assert root not in new.envelope
    assert read_seal(new.envelope)[1].wrapped_root[:40] != read_seal(second.envelope)[1].wrapped_root[:40]


def test_a_wrapping_is_good_for_one_root_key() -> None:
    """And wiped, it is good for none."""
    wrap, unused = vault().prepare(Random()), vault().prepare(Random())
    wrap(bytearray(b"r" * 32), b"c" * 32, 1)
    unused.wipe()

    for spent in (wrap, unused):
        with pytest.raises(ValueError, match="one key wraps one root key"):
            spent(bytearray(b"r" * 32), b"c" * 32, 1)


@pytest.mark.parametrize("moved", [{"check": b"x" * 32}, {"epoch": 2}])
def test_a_wrapped_root_key_is_bound_to_its_cluster_and_epoch(moved: dict[str, Any]) -> None:
    """As the key file's: an older or another one is none."""
    place = {"check": b"c" * 32, "epoch": 1}
    wrapped = vault().prepare(Random())(bytearray(b"r" * 32), b"c" * 32, 1)
    ciphertext, rest = transit.taken_apart(wrapped)
    key = base64.b64decode(ciphertext.removeprefix("vault:v1:")[::-1])

    assert static.unwrap(key, rest, b"c" * 32, 1) == b"r" * 32
    with pytest.raises(WrongKeyError):
        static.unwrap(key, rest, **(place | moved))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "kind", "sentence"),
    [
        *((status, TransitUnavailableError, f"it answers {status}") for status in (429, 472, 473, 500, 502, 503)),
        *((status, TransitRefusedError, f"refuses .* with {status}") for status in (400, 403, 404, 405)),
        *((status, TransitRefusedError, "redirection") for status in (301, 302, 307, 308)),
    ],
)
def test_what_it_answers_says_what_to_do(status: int, kind: type[Exception], sentence: str) -> None:
    """Try again, or look at the token; never a word of the answer, which could be anything."""
    other = Other()
    new = make(vault(other))
    other.answer = Said(status, b'{"errors": ["planted"]}')

    for work in (lambda: vault(other).prepare(Random()), lambda: vault(other).unseal(new.envelope)):
        with pytest.raises(kind, match=sentence) as caught:
            work()
        assert "planted" not in str(caught.value)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"null", b'{"data": null}', b'{"data": {"plaintext": 7}}', b"[" * 60_000]
)
def test_nonsense_is_no_answer(body: bytes) -> None:
    """A proxy's page, say: another attempt may find the vault."""
    other = Other()
    new = make(vault(other))
    other.answer = Said(200, body)

    with pytest.raises(TransitUnavailableError, match="not one of the transit engine"):
        vault(other).unseal(new.envelope)


@pytest.mark.parametrize("plaintext", ["", "x", "c2hvcnQ=", base64.b64encode(b"k" * 32).decode()])
def test_another_key_does_not_open(plaintext: str) -> None:
    """Whatever the other vault gives: WrongKeyError, or no answer, and no state."""
    other = Other()
    new = make(vault(other))
    other.answer = said(plaintext=plaintext)

    with pytest.raises((WrongKeyError, TransitUnavailableError)):
        vault(other).unseal(new.envelope)


def test_what_cannot_be_decrypted_again_is_found_before_it_wraps() -> None:
    """A token that may encrypt and not decrypt; another key's plaintext."""
    for answer in (Said(403, b""), said(plaintext=base64.b64encode(b"k" * 32).decode())):
        other = Other()
        other.answer, other.verbs = answer, ("decrypt",)
        with pytest.raises(TransitRefusedError):
            vault(other).prepare(Random())


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (TokenFile(mode=stat.S_IFREG | 0o644), "transit_token_file must have mode 0600"),
        (TokenFile(mode=stat.S_IFIFO | 0o600), "transit_token_file is not a regular file"),
        *((TokenFile(data), "must hold one token") for data in (b"", b"\n", b"a b", b"a\nb", b"\xff", b"a\r\nX: y")),
    ],
)
def test_the_token_is_one_that_nobody_else_may_read(files: TokenFile, sentence: str) -> None:
    """And one word: no header can be put behind it."""
    other = Other()

    with pytest.raises(KeyFileError, match=sentence):
        vault(other, files).prepare(Random())
    assert other.asked == []


def test_other_seals_are_not_asked_about() -> None:
    """An envelope of another type is refused before anything leaves."""
    other = Other()
    new = initialise(Random(), CLUSTER_ID, 1, seal_type="shamir", shares=1, threshold=1, peers=False)

    with pytest.raises(WrongKeyError, match="not sealed with another vault's key"):
        vault(other).unseal(new.envelope)
    assert other.asked == []


@pytest.mark.parametrize("data", [b"", b"\0\1", b"\0\1\0\5abc", b"\0\2\0\1a", b"\0\1\0\0", b"\0\1\0\1\xff"])
def test_what_is_no_wrapped_root_key_is_damage(data: bytes) -> None:
    """Cut short, of another format, empty, not text."""
    with pytest.raises(DamagedError):
        transit.taken_apart(data)


def test_the_token_is_renewed_and_says_how_long_it_lives() -> None:
    """0 where it says nothing sensible: then nothing is due soon."""
    other = Other()
    assert vault(other).renew() == 900
    other.verbs = ("renew-self",)
    for body in (b'{"auth": null}', b'{"auth": {"lease_duration": true}}', b'{"auth": {"lease_duration": -1}}', b"{}"):
        other.answer = Said(200, body)
        assert vault(other).renew() == 0
    other.answer = Said(200, b'{"auth": {"lease_duration": 1%s}}' % (b"0" * 4000))
    assert vault(other).renew() == transit.LEASE_S_MAX


def test_a_check_says_whether_it_would_open() -> None:
    """As `unseal` does, and nothing is opened: a deleted key, one whose version is too old, another key."""
    other = Other()
    new = make(vault(other))
    vault(other).check(new.envelope)
    for answer, kind in (
        (Said(400, b""), TransitRefusedError),
        (Said(404, b""), TransitRefusedError),
        (Said(503, b""), TransitUnavailableError),
        (said(plaintext=base64.b64encode(b"k" * 32).decode()), WrongKeyError),
    ):
        other.answer = answer
        with pytest.raises(kind):
            vault(other).check(new.envelope)


def test_rekeys_wrap_anew() -> None:
    """The old wrapped root key does not open the new envelope."""
    other = Other()
    old = make(vault(other))
    new = rekey(old.keyring, old.seal, Random(), 2, shares=3, threshold=2, wrap=vault(other).prepare(Random()))

    assert vault(other).unseal(new.envelope).root_key == new.root_key != old.root_key


@pytest.mark.parametrize(
    ("former", "seal_type"), [("shamir", "transit"), ("transit", "shamir"), ("transit", "transit")]
)
def test_another_seal_keeps_root_key_and_shares(former: str, seal_type: str) -> None:
    """The next epoch and a further key term; the same shares open both envelopes."""
    other = Other()
    wrap = vault(other).prepare(Random()) if former == "transit" else None
    old = initialise(Random(), CLUSTER_ID, 1, seal_type=former, shares=3, threshold=2, peers=True, wrap=wrap)
    wrap = vault(other).prepare(Random()) if seal_type == "transit" else None
    keyring, envelope = reseal(old.root_key, old.keyring, old.seal, Random(), 2, seal_type=seal_type, wrap=wrap)
    seal = read_seal(envelope)[1]

    assert keyring.extends(old.keyring)
    assert (seal.type, seal.shares, seal.threshold, seal.peers, seal.epoch) == (seal_type, 3, 2, True, 2)
    assert open_envelope(bytearray(old.root_key), envelope).keyring.encode() == keyring.encode()
    assert bool(seal.wrapped_root) == (seal_type == "transit")
    if seal_type == "transit":
        assert vault(other).unseal(envelope).root_key == old.root_key


def test_no_seal_is_made_that_nobody_could_open() -> None:
    """Shares that are none; another type that wraps nothing."""
    old = make(vault())

    for seal_type, wrap in (("shamir", None), ("transit", None), ("shamir", vault().prepare(Random()))):
        with pytest.raises(ValueError, match="shamir needs shares"):
            reseal(old.root_key, old.keyring, old.seal, Random(), 2, seal_type=seal_type, wrap=wrap)
