"""encrypt, decrypt, rewrap, datakey: what opens, what does not, and the same answers as the primitives themselves."""

from __future__ import annotations

import hmac

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.node.engines.transit.transit_bench import AEAD, ECDSA, TransitBench, b64, unb64

FAILED = (400, "cipher: message authentication failed")
TOO_OLD = (400, "ciphertext or signature version is disallowed by policy (too old)")
OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


@pytest.fixture
def bench() -> TransitBench:
    return TransitBench()


@pytest.fixture(scope="module")
def shared() -> TransitBench:
    """One bench for what changes nothing: a key of each AEAD type, plain, derived and convergent."""
    bench = TransitBench()
    for type_ in AEAD:
        bench.make(type_, type_)
        bench.make(f"{type_}-derived", type_, derived=True)
        bench.make(f"{type_}-convergent", type_, derived=True, convergent_encryption=True)
    return bench


# ---- what opens
@pytest.mark.parametrize("type_", AEAD)
@given(plaintext=st.binary(max_size=200), aad=st.binary(max_size=40), context=st.binary(min_size=1, max_size=40))
@settings(max_examples=15, deadline=None)
def test_what_is_encrypted_is_decrypted(shared, type_, plaintext, aad, context):
    """With and without associated data, derivation and convergence."""
    for name, fields in ((type_, {}), (f"{type_}-derived", {"c": 1}), (f"{type_}-convergent", {"c": 1})):
        more = {"context": b64(context)} if fields else {}
        ciphertext = shared.encrypt(name, plaintext, associated_data=b64(aad), **more)

        assert ciphertext.startswith("vault:v1:")
        assert shared.decrypt(name, ciphertext, associated_data=b64(aad), **more) == plaintext


def test_rsa_encrypts_and_decrypts(bench):
    """With OAEP and SHA-256, as the exported key says, too."""
    bench.make("r", "rsa-2048", exportable=True)
    ciphertext = bench.encrypt("r", b"hello")
    key = serialization.load_pem_private_key(bench.export("encryption-key", "r").encode(), None)

    assert bench.decrypt("r", ciphertext) == b"hello"
    assert key.decrypt(unb64(ciphertext.removeprefix("vault:v1:")), OAEP) == b"hello"
    theirs = key.public_key().encrypt(b"from outside", OAEP)
    assert bench.decrypt("r", "vault:v1:" + b64(theirs)) == b"from outside"


CIPHERS = list(zip(AEAD, [AESGCM, AESGCM, ChaCha20Poly1305], strict=True))


@pytest.mark.parametrize(("type_", "cipher"), CIPHERS)
def test_the_box_is_nonce_ciphertext_and_tag(bench, type_, cipher):
    """Known answer: the exported key opens it without this program."""
    bench.make("k", type_, exportable=True)
    box = unb64(bench.encrypt("k", b"hello", associated_data=b64("aad")).removeprefix("vault:v1:"))
    key = unb64(bench.export("encryption-key", "k"))

    assert cipher(key).decrypt(box[:12], box[12:], b"aad") == b"hello"
    assert len(box) == 12 + 5 + 16


def test_derivation_is_hkdf_and_the_convergent_nonce_a_mac(bench):
    """Known answer: HKDF-SHA256 without salt, the context as info; HMAC-SHA256 of the plaintext."""
    bench.make("k", derived=True, convergent_encryption=True, exportable=True)
    box = unb64(bench.encrypt("k", b"hello", context=b64("user-1")).removeprefix("vault:v1:"))
    derived = HKDF(hashes.SHA256(), 64, None, b"user-1").derive(unb64(bench.export("encryption-key", "k")))

    assert box[:12] == hmac.digest(derived[32:], b"hello", "sha256")[:12]
    assert AESGCM(derived[:32]).decrypt(box[:12], box[12:], None) == b"hello"


def test_convergent_encryption_says_the_same_for_the_same_and_nothing_else(bench):
    """Another context, plaintext or associated data has another nonce: none seals two messages."""
    bench.make("k", derived=True, convergent_encryption=True)

    def made(plaintext: bytes, context: str, **fields: str) -> str:
        return bench.encrypt("k", plaintext, context=b64(context), **fields)

    first = made(b"a", "c")
    others = [made(b"b", "c"), made(b"a", "d"), made(b"a", "c", associated_data=b64("x"))]
    others.append(made(b"a", "c", associated_data=b64("y")))
    assert made(b"a", "c") == first
    assert len({text[:25] for text in (first, *others)}) == 5


def test_a_nonce_is_never_used_twice_otherwise(bench):
    """The same plaintext is another ciphertext each time."""
    bench.make("k")

    assert len({bench.encrypt("k", b"same")[9:25] for _ in range(20)}) == 20


# ---- what does not
def test_nothing_else_opens_it(bench):
    """Another key, version, context or associated data, a flipped bit, a cut end."""
    bench.make("a", derived=True)
    bench.make("b", derived=True)
    fields = {"context": b64("c"), "associated_data": b64("d")}
    ciphertext = bench.encrypt("a", b"hello", **fields)
    bench.post("keys/a/rotate")
    box = bytearray(unb64(ciphertext.removeprefix("vault:v1:")))
    box[20] ^= 1

    assert bench.decrypt("a", ciphertext, **fields) == b"hello"
    wrong = [
        ("b", ciphertext, fields),
        ("a", ciphertext.replace("v1", "v2"), fields),
        ("a", ciphertext, fields | {"context": b64("other")}),
        ("a", ciphertext, fields | {"associated_data": b64("other")}),
        ("a", ciphertext, {"context": b64("c")}),
        ("a", "vault:v1:" + b64(box), fields),
    ]
    for name, text, given_fields in wrong:
        assert bench.no(f"decrypt/{name}", ciphertext=text, **given_fields) == FAILED


@pytest.mark.parametrize(
    ("ciphertext", "text"),
    [
        ("", "missing ciphertext to decrypt"),
        ("hello", "invalid ciphertext: no prefix"),
        ("vault:v1", "invalid ciphertext: wrong number of fields"),
        ("vault:vx:AAAA", "invalid ciphertext: version number could not be decoded"),
        ("vault:v" + "9" * 30 + ":AAAA", "invalid ciphertext: version number could not be decoded"),
        ("vault:v2:AAAA", "invalid ciphertext: version is too new"),
        ("vault:v-1:AAAA", "ciphertext or signature version is disallowed by policy (too old)"),
        ("vault:v1:!", "invalid ciphertext: could not decode base64"),
        ("vault:v1:AAAA", "invalid ciphertext length"),
    ],
)
def test_what_is_no_ciphertext_is_refused(shared, ciphertext, text):
    """In Vault's words."""
    assert shared.no("decrypt/aes256-gcm96", ciphertext=ciphertext) == (400, text)


def test_a_ciphertext_of_version_0_is_one_of_version_1(bench):
    """Versions began at 0 once."""
    bench.make("k")

    assert bench.decrypt("k", bench.encrypt("k").replace("v1", "v0")) == b"hello"


def test_below_the_minimum_nothing_is_decrypted(bench):
    """Rotated, then forbidden, then allowed again."""
    bench.make("k")
    old = bench.encrypt("k")
    bench.post("keys/k/rotate")
    assert bench.decrypt("k", old) == b"hello"

    bench.post("keys/k/config", min_decryption_version=2)
    assert bench.no("decrypt/k", ciphertext=old) == TOO_OLD
    assert bench.no("rewrap/k", ciphertext=old) == TOO_OLD
    bench.post("keys/k/config", min_decryption_version=1)
    assert bench.decrypt("k", old) == b"hello"


def test_a_version_to_encrypt_with_is_one_that_may(bench):
    """The latest by default; an older one down to the minimum."""
    bench.make("k")
    for _ in range(3):
        bench.post("keys/k/rotate")
    bench.post("keys/k/config", min_encryption_version=2)

    assert bench.post("encrypt/k", plaintext="", key_version=2)["key_version"] == 2
    assert bench.post("encrypt/k", plaintext="")["key_version"] == 4
    what = "requested version for encryption is"
    assert bench.no("encrypt/k", plaintext="", key_version=1) == (
        400, f"{what} less than the minimum encryption key version"
    )  # fmt: skip
    assert bench.no("encrypt/k", plaintext="", key_version=5) == (400, f"{what} higher than the latest key version")
    assert bench.no("encrypt/k", plaintext="", key_version=-1) == (400, f"{what} negative")


@pytest.mark.parametrize("type_", [*ECDSA, "ed25519", "hmac"])
def test_a_key_that_cannot_encrypt_does_not(bench, type_):
    """And none is made of such a type by the way."""
    bench.make("k", type_)

    assert bench.no("encrypt/k", plaintext="") == (400, f"message encryption not supported for key type {type_}")
    assert bench.no("decrypt/k", ciphertext="vault:v1:AA==") == (
        400, f"message decryption not supported for key type {type_}"
    )  # fmt: skip
    assert bench.no("encrypt/new", plaintext="", type=type_) == (
        400, f"key type {type_} not supported for this operation"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "missing plaintext to encrypt"),
        ({"plaintext": "a"}, "illegal base64 data at input byte 1"),
        ({"plaintext": "a*=="}, "illegal base64 data at input byte 1"),
        ({"plaintext": "\u00e9"}, "illegal base64 data at input byte 0"),
        ({"plaintext": "", "associated_data": "!"}, "illegal base64 data at input byte 0"),
        ({"plaintext": "", "context": "!"}, "illegal base64 data at input byte 0"),
        ({"plaintext": "", "nonce": "AAAA"}, "nonce provided when not allowed"),
    ],
)
def test_what_cannot_be_encrypted_is_refused(shared, fields, text):
    """Saying where, not what."""
    assert shared.no("encrypt/aes256-gcm96", **fields) == (400, text)


def test_a_derived_key_needs_a_context(shared):
    """Both ways."""
    status, text = shared.no("encrypt/aes256-gcm96-derived", plaintext="")

    assert (status, text[:44]) == (400, "missing 'context' for key derivation; the key was"[:44])


def test_rsa_takes_no_associated_data_and_no_more_than_a_block(bench):
    """Nothing is silently left out."""
    bench.make("r", "rsa-2048")
    text = "'associated_data' provided for non-AEAD cipher suite rsa-2048"

    assert bench.no("encrypt/r", plaintext="", associated_data=b64("a")) == (400, text)
    assert bench.no("decrypt/r", ciphertext=bench.encrypt("r"), associated_data=b64("a")) == (400, text)
    assert bench.no("datakey/wrapped/r", associated_data=b64("a")) == (400, text)
    assert bench.no("encrypt/r", plaintext=b64(b"x" * 191))[0] == 400
    assert bench.decrypt("r", bench.encrypt("r", b"x" * 190)) == b"x" * 190
    failed = (400, "failed to RSA decrypt the ciphertext: crypto/rsa: decryption error")
    assert bench.no("decrypt/r", ciphertext="vault:v1:" + b64(b"x" * 256)) == failed
    assert bench.no("decrypt/r", ciphertext="vault:v1:AAAA") == failed


# ---- a key that is not there
def test_encrypt_makes_a_key_that_is_missing(bench):
    """One that is derived where there is a context; the others ask for a key."""
    plain, derived = bench.encrypt("new"), bench.encrypt("per-user", context=b64("c"))

    assert bench.decrypt("new", plain) == b"hello"
    assert bench.decrypt("per-user", derived, context=b64("c")) == b"hello"
    assert [bench.get(f"keys/{name}")["derived"] for name in ("new", "per-user")] == [False, True]
    for path, body in (("decrypt", {"ciphertext": plain}), ("rewrap", {"ciphertext": plain}), ("datakey/wrapped", {})):
        assert bench.no(f"{path}/nothing", **body) == (400, "encryption key not found")


def test_the_kind_of_a_key_that_encrypt_makes_can_be_chosen(bench):
    """Among the symmetric ones."""
    bench.encrypt("c", type="chacha20-poly1305", convergent_encryption=True, context=b64("c"))

    assert bench.get("keys/c")["type"] == "chacha20-poly1305"
    assert bench.get("keys/c")["convergent_encryption"] is True
    assert bench.no("encrypt/d", plaintext="", type="kitty") == (400, "unknown key type kitty")
    text = "convergent encryption requires derivation to be enabled, so context is required"
    assert bench.no("encrypt/d", plaintext="", convergent_encryption=True) == (400, text)


def test_no_key_is_made_where_nothing_was_encrypted(bench):
    """Neither by a refused request nor by a batch of failures."""
    assert bench.no("encrypt/new", plaintext="!")[0] == 400
    answer = bench.ask("update", "encrypt/new", {"batch_input": [{"plaintext": "!"}]})

    assert answer.status == 400
    assert bench.refused("read", "keys/new").status == 404


def test_encrypt_makes_no_key_where_that_is_switched_off(bench):
    """`config/keys`, for the whole mount."""
    assert bench.get("config/keys") == {"disable_upsert": False}
    assert bench.post("config/keys", disable_upsert=True) == {"disable_upsert": True}

    assert bench.no("encrypt/new", plaintext="") == (400, "encryption key not found")
    bench.post("config/keys", disable_upsert=False)
    assert bench.encrypt("new").startswith("vault:v1:")


def test_encrypt_is_a_create_only_where_the_key_is_missing(bench):
    """The existence check that policies go by; other paths have none."""
    bench.make("k")
    context = bench.context()

    assert bench.engine.exists(context, "encrypt/k") is True
    assert bench.engine.exists(context, "encrypt/new") is False
    assert [bench.engine.exists(context, path) for path in ("decrypt/k", "keys/new", "encrypt/a/b")] == [None] * 3


# ---- rewrap
def test_rewrap_brings_a_ciphertext_to_the_latest_version(bench):
    """Without showing what is in it."""
    bench.make("k", derived=True)
    old = bench.encrypt("k", b"hello", context=b64("c"))
    bench.post("keys/k/rotate")
    data = bench.post("rewrap/k", ciphertext=old, context=b64("c"))

    assert data["ciphertext"].startswith("vault:v2:")
    assert data == {"ciphertext": data["ciphertext"], "key_version": 2}
    assert bench.decrypt("k", data["ciphertext"], context=b64("c")) == b"hello"
    assert bench.no("rewrap/k", ciphertext=old, context=b64("d")) == FAILED
    assert bench.no("rewrap/k") == (400, "missing ciphertext to decrypt")


# ---- datakey
@pytest.mark.parametrize(("bits", "size"), [(None, 32), (128, 16), (256, 32), (512, 64)])
def test_a_data_key_is_what_its_ciphertext_holds(bench, bits, size):
    """Shown only where the path says so."""
    bench.make("k")
    fields = {} if bits is None else {"bits": bits}
    shown = bench.post("datakey/plaintext/k", **fields)
    wrapped = bench.post("datakey/wrapped/k", **fields)

    assert unb64(shown["plaintext"]) == bench.decrypt("k", shown["ciphertext"])
    assert len(unb64(shown["plaintext"])) == size
    assert sorted(wrapped) == ["ciphertext", "key_version"]
    assert bench.decrypt("k", wrapped["ciphertext"]) != unb64(shown["plaintext"])


def test_a_data_key_of_another_form_is_refused(bench):
    """Path, size, context, type of key."""
    bench.make("k", derived=True)
    bench.make("s", "ed25519")

    assert bench.no("datakey/bare/k") == (400, "Invalid path, must be 'plaintext' or 'wrapped'")
    assert bench.no("datakey/plaintext/k", bits=192, context=b64("c")) == (400, "invalid bit length")
    assert bench.no("datakey/plaintext/k", context="!") == (400, "failed to base64-decode context")
    assert bench.no("datakey/plaintext/k")[0] == 400
    assert bench.no("datakey/plaintext/s") == (400, "message encryption not supported for key type ed25519")
    data = bench.post("datakey/plaintext/k", context=b64("c"), associated_data=b64("a"))
    fields = {"context": b64("c"), "associated_data": b64("a")}
    assert bench.decrypt("k", data["ciphertext"], **fields) == unb64(data["plaintext"])
