"""Keys: made, read, listed, configured, rotated, trimmed, deleted."""

from __future__ import annotations

import pickle

import pytest

from cluster.state.invariants import check, orphans
from node.engines.transit import keys
from node.engines.transit.key_types import KeyType, Work, key_type
from node.engines.transit.material import RsaDraw, Version
from node.request import Operation, Refusal, StaleLabour
from tests.node.engines.fakes import START_NS, make_request
from tests.node.engines.transit.transit_bench import AEAD, ALL, HOUR_NS, TransitBench, b64, unb64

RSA = ["rsa-2048", "rsa-3072", "rsa-4096"]


@pytest.fixture
def bench() -> TransitBench:
    return TransitBench()


@pytest.fixture
def five() -> TransitBench:
    """A key "k" with five versions."""
    bench = TransitBench()
    bench.make("k")
    for _ in range(4):
        bench.post("keys/k/rotate")
    return bench


# ---- made and read
def test_a_key_as_it_is_shown(bench):
    """Every field, none of them the key."""
    assert bench.post("keys/k") == {
        "name": "k",
        "type": "aes256-gcm96",
        "derived": False,
        "deletion_allowed": False,
        "min_available_version": 0,
        "min_decryption_version": 1,
        "min_encryption_version": 0,
        "latest_version": 1,
        "exportable": False,
        "allow_plaintext_backup": False,
        "supports_encryption": True,
        "supports_decryption": True,
        "supports_signing": False,
        "supports_derivation": True,
        "auto_rotate_period": 0,
        "imported_key": False,
        "keys": {"1": START_NS // 1_000_000_000},
    }
    assert bench.get("keys/k") == bench.post("keys/k")


@pytest.mark.parametrize("type_", ALL)
def test_what_each_type_can_do(bench, type_):
    """As its flags say; asymmetric ones show their public half."""
    data = bench.post("keys/k", type=type_, auto_rotate_period="24h")
    asymmetric = type_.startswith(("rsa", "ecdsa", "ed25519"))

    assert data["type"] == type_
    assert data["supports_encryption"] is data["supports_decryption"] is (type_ in {*AEAD, *RSA})
    assert data["supports_signing"] is asymmetric
    assert data["supports_derivation"] is (type_ in {*AEAD, "ed25519"})
    assert data["auto_rotate_period"] == 86_400
    if asymmetric:
        shown = data["keys"]["1"]
        assert shown["creation_time"] == "2025-11-24T09:41:00.25Z"
        assert shown["name"] == type_.replace("ecdsa-p", "P-")
        assert type_ == "ed25519" or shown["public_key"].startswith("-----BEGIN PUBLIC KEY-----\n")
    assert bench.labours == (1 if type_ in RSA else 0)


def test_a_key_that_is_there_stays_as_it_is(bench):
    """And a warning says so."""
    bench.make("k", "ed25519")
    ciphers = bench.ask("update", "keys/k", {"type": "rsa-2048"})

    assert ciphers.data["type"] == "ed25519"
    assert ciphers.warnings == ["key k already existed"]
    assert bench.plans[-1].draft.empty
    assert bench.labours == 0


def test_derivation_is_shown(bench):
    """With how it is done."""
    data = bench.post("keys/k", derived=True, convergent_encryption=True)

    assert {name: data[name] for name in ("kdf", "convergent_encryption", "convergent_encryption_version")} == {
        "kdf": "hkdf_sha256",
        "convergent_encryption": True,
        "convergent_encryption_version": -1,
    }


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"type": "kitty-cat-key"}, "unknown key type kitty-cat-key"),
        ({"type": "xchacha20-poly1305"}, "unknown key type ..."),
        ({"convergent_encryption": True}, "convergent encryption requires derivation to be enabled"),
        (
            {"type": "rsa-2048", "derived": True},
            "key derivation and convergent encryption not supported for keys of type rsa-2048",
        ),
        (
            {"type": "ed25519", "derived": True, "convergent_encryption": True},
            "convergent encryption not supported for keys of type ed25519",
        ),
        ({"auto_rotate_period": "59m"}, "auto rotate period must be 0 to disable or at least an hour"),
        ({"key_size": 32}, "key_size is not valid for algorithm aes256-gcm96"),
        ({"type": "hmac", "key_size": 31}, "invalid key_size 31"),
        ({"type": "hmac", "key_size": 513}, "invalid key_size 513"),
    ],
)
def test_a_key_that_cannot_be_is_not_made(bench, fields, text):
    """Whether it is there or not."""
    assert bench.no("keys/k", **fields) == (400, text)
    assert bench.refused("read", "keys/k").status == 404


@pytest.mark.parametrize(("name", "status"), [("a", 200), ("a.b-c_d", 200), ("-a", 404), ("a.", 404), ("a b", 404)])
def test_names_are_those_that_vault_takes(bench, name, status):
    """Letters, digits, "_", and in between "." and "-"."""
    if status == 200:
        assert bench.post(f"keys/{name}")["name"] == name
    else:
        assert bench.refused("update", f"keys/{name}", {}).status == status


def test_keys_are_listed_in_pages(bench):
    """Sorted; nothing is 404."""
    assert bench.refused("list", "keys/").status == 404
    for name in ("c", "a", "b"):
        bench.make(name)

    assert bench.data("list", "keys/") == {"keys": ["a", "b", "c"]}
    assert bench.data("list", "keys/", None, {"after": "a", "limit": "1"}) == {"keys": ["b"]}


def test_an_rsa_key_is_drawn_before_the_decision(bench):
    """Without it, or with one of another size, the decision asks for it again."""
    body = {"type": "rsa-2048"}
    for drawn in (None, RsaDraw.__new__(RsaDraw)):
        request = make_request(Operation.UPDATE, "transit/keys/k", body)
        if drawn is not None:
            drawn.bits, drawn.key = 4096, b""
        request.labour = drawn
        with pytest.raises(StaleLabour):
            bench.engine.decide(bench.context(), request, "keys/k")

    request = make_request(Operation.UPDATE, "transit/keys/k", b"no json")
    assert bench.engine.labour(bench.context(), request, "keys/k") is None
    assert bench.engine.labour(bench.context(), make_request(Operation.READ, "transit/keys/k"), "keys/k") is None


# ---- configured
@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"min_decryption_version": -1}, "min decryption version cannot be negative"),
        ({"min_encryption_version": -1}, "min encryption version cannot be negative"),
        ({"min_decryption_version": 6}, "cannot set min decryption version of 6, latest key version is 5"),
        ({"min_encryption_version": 6}, "cannot set min encryption version of 6, latest key version is 5"),
        (
            {"min_decryption_version": 3, "min_encryption_version": 2},
            (
                "cannot set min encryption/decryption values; min encryption version of 2 must be greater than or "
                "equal to min decryption version of 3"
            ),
        ),
        ({"auto_rotate_period": 60}, "auto rotate period must be 0 to disable or at least an hour"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(five, fields, text):
    """Nothing of it is kept."""
    assert five.no("keys/k/config", **fields) == (400, text)
    assert five.no("keys/nothing/config", **fields) == (400, "no existing key named nothing could be found")


def test_a_key_is_configured(five):
    """What is not named stays; versions below the minimum are not shown."""
    data = five.post("keys/k/config", min_decryption_version=3, min_encryption_version=4, deletion_allowed=True)

    assert (data["min_decryption_version"], data["min_encryption_version"]) == (3, 4)
    assert list(data["keys"]) == ["3", "4", "5"]
    again = five.post("keys/k/config", auto_rotate_period="2h")
    assert again == data | {"auto_rotate_period": 7200}
    assert five.post("keys/k/config", deletion_allowed=False)["deletion_allowed"] is False


def test_a_minimum_of_zero_is_one(five):
    """With a warning."""
    answer = five.ask("update", "keys/k/config", {"min_decryption_version": 0})

    assert answer.data["min_decryption_version"] == 1
    assert answer.warnings == ["since Vault 0.3, transit key numbering starts at 1; forcing minimum to 1"]


@pytest.mark.parametrize("name", ["exportable", "allow_plaintext_backup"])
def test_what_was_allowed_once_is_not_taken_back(five, name):
    """It may have been used."""
    assert five.post("keys/k/config", **{name: True})[name] is True
    assert five.post("keys/k/config", **{name: False})[name] is True
    assert five.plans[-1].draft.empty


# ---- rotated
@pytest.mark.parametrize("type_", ["aes256-gcm96", "ecdsa-p256", "rsa-2048"])
def test_a_rotated_key_has_one_version_more(bench, type_):
    """The older ones stay."""
    before = bench.post("keys/k", type=type_)
    data = bench.post("keys/k/rotate")

    assert data["latest_version"] == 2
    assert list(data["keys"]) == ["1", "2"]
    assert data["keys"]["1"] == before["keys"]["1"]
    assert bench.no("keys/nothing/rotate") == (400, "key not found")


def test_a_period_that_is_over_rotates_at_the_next_write(bench):
    """An encryption, its configuration, a second creation; not before, and reading does not."""
    bench.make("k", auto_rotate_period="1h")
    bench.now_ns += HOUR_NS - 1
    assert bench.encrypt("k").startswith("vault:v1:")
    bench.now_ns += 1
    assert bench.get("keys/k")["latest_version"] == 1

    old = bench.encrypt("k")
    assert old.startswith("vault:v2:")
    assert bench.decrypt("k", old) == b"hello"
    assert bench.encrypt("k").startswith("vault:v2:")
    bench.now_ns += HOUR_NS
    assert bench.post("keys/k")["latest_version"] == 3
    bench.now_ns += HOUR_NS
    assert bench.post("keys/k/config", auto_rotate_period=0)["latest_version"] == 3
    assert bench.post("keys/k/config", auto_rotate_period="1h")["latest_version"] == 4
    assert bench.encrypt("k").startswith("vault:v4:")


def test_the_period_of_an_rsa_key_is_kept_with_labour(bench):
    """Its next key is drawn before the encryption is decided."""
    bench.make("r", "rsa-2048", auto_rotate_period="1h")
    assert bench.encrypt("r").startswith("vault:v1:")
    assert bench.labours == 1

    bench.now_ns += HOUR_NS
    assert bench.encrypt("r").startswith("vault:v2:")
    bench.now_ns += HOUR_NS
    assert bench.post("keys/r/config")["latest_version"] == 3
    assert bench.labours == 3


def test_a_key_has_no_more_versions_than_can_be_held(bench, monkeypatch):
    """Rotating asks for a trim; a period that is over waits for it."""
    monkeypatch.setattr(keys, "VERSIONS_MAX", 3)
    bench.make("k", auto_rotate_period="1h")
    bench.post("keys/k/rotate")
    bench.post("keys/k/rotate")
    bench.now_ns += 2 * HOUR_NS

    assert bench.no("keys/k/rotate") == (400, "the key has 3 versions, the most there can be: trim it first")
    assert bench.encrypt("k").startswith("vault:v3:")
    bench.post("keys/k/config", min_decryption_version=2, min_encryption_version=2)
    bench.post("keys/k/trim", min_available_version=2)
    assert bench.encrypt("k").startswith("vault:v4:")


# ---- trimmed
def test_trimmed_versions_are_gone(five):
    """Out of the state; the others work on."""
    third = five.encrypt("k", key_version=3)
    five.post("keys/k/config", min_decryption_version=3, min_encryption_version=3)
    before = len(five.view.state.list_entries(five.mount.uuid + b"version/k/"))
    data = five.post("keys/k/trim", min_available_version=3)

    assert (data["min_available_version"], list(data["keys"])) == (3, ["3", "4", "5"])
    assert before == 5
    assert five.view.state.list_entries(five.mount.uuid + b"version/k/") == [b"3", b"4", b"5"]
    assert five.decrypt("k", third) == b"hello"
    assert five.no("keys/k/config", min_encryption_version=0) == (
        400, "min encryption version should not be less than min available version"
    )  # fmt: skip
    assert five.no("keys/k/config", min_decryption_version=2) == (
        400, "min decryption version should not be less then min available version"
    )  # fmt: skip
    assert check(five.view.state) == orphans(five.view.state) == []


@pytest.mark.parametrize(
    ("config", "lowest", "text"),
    [
        ({}, 1, "minimum available version cannot be set when minimum encryption version is not set"),
        (
            {"min_encryption_version": 3},
            4,
            "minimum available version cannot be greater than minmum encryption version",
        ),
        (
            {"min_encryption_version": 3},
            2,
            "minimum available version cannot be greater than minimum decryption version",
        ),
        ({"min_encryption_version": 3}, 0, "minimum available version should be positive"),
        ({"min_encryption_version": 3}, -1, "minimum available version cannot be decremented"),
    ],
)
def test_a_trim_that_cannot_be_is_refused(five, config, lowest, text):
    """Nothing is lost."""
    five.post("keys/k/config", **config)

    assert five.no("keys/k/trim", min_available_version=lowest) == (400, text)
    assert five.no("keys/k/trim") == (400, "missing min_available_version")
    assert five.no("keys/nothing/trim") == (400, "invalid key name")


# ---- deleted
def test_a_key_is_deleted_only_where_that_is_allowed(five):
    """With every version; a new key of the name opens nothing of it."""
    old = five.encrypt("k")
    prefix = "error deleting policy"
    assert five.refused("delete", "keys/k").texts == (f"{prefix} k: deletion is not allowed for this key",)
    five.post("keys/k/config", deletion_allowed=True)

    assert five.ask("delete", "keys/k").empty
    assert five.view.state.list_entries(five.mount.uuid) == []
    assert five.refused("delete", "keys/k").texts == (f"{prefix} k: could not delete key; not found",)
    five.make("k")
    for _ in range(4):
        five.post("keys/k/rotate")
    assert five.no("decrypt/k", ciphertext=old) == (400, "cipher: message authentication failed")


def test_what_would_take_too_long_is_asked_for_one_by_one(bench, monkeypatch):
    """Every version exported at once, every public key derived at once."""
    bench.make("e", "ecdsa-p256", exportable=True)
    bench.make("d", "ed25519", derived=True)
    for name in ("e", "d"):
        bench.post(f"keys/{name}/rotate")
    assert len(bench.get("export/signing-key/e")["keys"]) == 2
    assert len(bench.get("keys/d", context=b64("c"))["keys"]) == 2

    monkeypatch.setattr(KeyType, "items_max", lambda _type, _work: 1)
    text = "the key has more than 1 versions: export them one by one"
    assert bench.refused("read", "export/signing-key/e").texts == (text,)
    assert bench.export("signing-key", "e", "2").startswith("-----BEGIN EC PRIVATE KEY-----")
    assert bench.refused("read", "keys/d", None, {"context": b64("c")}).status == 400
    assert len(bench.get("keys/d")["keys"]) == 2


# ---- secrecy
def test_nothing_that_holds_a_key_shows_it():
    """Not in a repr, not in a pickle."""
    version = Version(b"planted-key", b"planted-mac", 0)
    key = keys.Key("aes256-gcm96")
    draw = RsaDraw(2048)

    assert [repr(one) for one in (version, key, draw)] == ["<Version>", "<Key>", "<RsaDraw>"]
    for one in (version, key, draw):
        with pytest.raises(TypeError):
            pickle.dumps(one)


def test_no_key_stands_in_the_state_in_the_clear(bench):
    """Entries are sealed: the exported keys are not found in the records."""
    bench.make("k", exportable=True)
    bench.make("r", "rsa-2048", exportable=True)
    for kind, name in (("encryption-key", "k"), ("hmac-key", "k")):
        assert unb64(bench.export(kind, name)) not in bench.stored_text()
    assert unb64(bench.export("encryption-key", "r", format="der"))[-64:] not in bench.stored_text()


def test_a_request_costs_no_more_than_a_turn():
    """Items of a batch by type: dear ones few, and never none."""
    limits = {name: key_type(name).items_max(Work.PRIVATE) for name in ALL}

    assert limits["aes256-gcm96"] >= 500
    assert limits["rsa-2048"] > limits["rsa-3072"] > limits["rsa-4096"] >= 1
    assert key_type("rsa-4096").items_max(Work.BOTH) <= key_type("rsa-4096").items_max(Work.PUBLIC)
    with pytest.raises(Refusal):
        key_type("none")


# ---- what a mount has besides
def test_the_size_of_the_cache_is_kept_and_shown(bench):
    """There is none; who configures one goes on working."""
    assert bench.get("cache-config") == {"size": 0}
    assert bench.post("cache-config", size=100) == {"size": 100}

    assert bench.get("cache-config") == {"size": 100}
    assert bench.no("cache-config", size=9) == (400, "size must be 0 or a value greater or equal to 10")


@pytest.mark.parametrize(
    ("path", "fields", "count"),
    [
        ("random", {}, 32),
        ("random", {"bytes": 7}, 7),
        ("random/9", {}, 9),
        ("random/all/10", {}, 10),
        ("random/all", {}, 32),
    ],
)
def test_random_bytes_are_as_many_as_asked_for(bench, path, fields, count):
    """Never the same twice."""
    first, second = (bench.post(path, format="hex", **fields)["random_bytes"] for _ in range(2))

    assert len(first) == 2 * count
    assert first != second


@pytest.mark.parametrize(
    ("path", "fields", "text"),
    [
        ("random", {"bytes": 0}, "'bytes' cannot be less than 1"),
        ("random", {"bytes": 131_073}, "'bytes' should be less than 131072"),
        ("random/x", {}, "error parsing url-set byte count: invalid syntax"),
        ("random/platform/x", {}, "error parsing url-set byte count: invalid syntax"),
        ("random/moon/1", {}, 'unsupported entropy source "moon"; must be "platform" or "seal", or "all"'),
        ("random", {"format": "roman"}, 'unsupported encoding format "roman"; must be "hex" or "base64"'),
        ("hash", {}, "input missing"),
        ("hash", {"input": "!"}, "unable to decode input as base64: illegal base64 data at input byte 0"),
        ("hash/md5", {"input": ""}, 'unsupported algorithm "md5"'),
        ("hash", {"input": "", "format": "roman"}, 'unsupported encoding format "roman"; must be "hex" or "base64"'),
    ],
)
def test_what_cannot_be_drawn_or_hashed_is_refused(bench, path, fields, text):
    """In Vault's words."""
    assert bench.no(path, **fields) == (400, text)


def test_a_hash_is_that_of_the_input(bench):
    """Known answers, as hex and as base64."""
    digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

    assert bench.post("hash", input=b64("hello")) == {"sum": digest}
    assert bench.post("hash/sha2-256", input=b64("hello"), format="base64") == {"sum": b64(bytes.fromhex(digest))}
    assert len(bench.post("hash", input=b64("hello"), algorithm="sha3-512")["sum"]) == 128
