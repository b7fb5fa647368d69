"""export, backup, restore: what leaves, in which form, and what may come back."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from cluster.state.invariants import check, orphans
from node.engines.transit import backup as backups
from node.engines.transit.backup import Backup, read
from node.request import Operation, Refusal, StaleLabour
from tests.node.engines.fakes import make_request
from tests.node.engines.transit.transit_bench import AEAD, ALL, ECDSA, TransitBench, b64, unb64

BAD = (400, "the backup is damaged, or not one of this program")


@pytest.fixture
def bench() -> TransitBench:
    return TransitBench()


# ---- export
@pytest.mark.parametrize("type_", AEAD)
def test_a_symmetric_key_leaves_as_base64(bench, type_):
    """Both of them: for encryption and for MACs."""
    bench.make("k", type_, exportable=True)

    assert len(unb64(bench.export("encryption-key", "k"))) == (16 if "128" in type_ else 32)
    assert len(unb64(bench.export("hmac-key", "k", format="raw"))) == 32
    text = "unknown format for HMAC key; supported values are `` or `raw`"
    for kind in ("encryption-key", "hmac-key"):
        assert bench.refused("read", f"export/{kind}/k", None, {"format": "pem"}).texts == (text,)


@pytest.mark.parametrize("type_", ["ed25519", *ECDSA, "rsa-2048"])
def test_an_asymmetric_key_leaves_in_every_form(bench, type_):
    """Each loads, and is one key with the public half that is shown."""
    bench.make("k", type_, exportable=True)
    shown = bench.get("keys/k")["keys"]["1"]["public_key"]
    pem, der = (bench.export("signing-key", "k", format=form) for form in ("pem", "der"))
    keys = [
        serialization.load_pem_private_key(pem.encode(), None),
        serialization.load_der_private_key(unb64(der), None),
    ]
    default = bench.export("signing-key", "k")
    public = serialization.load_pem_public_key(bench.export("public-key", "k", format="pem").encode())
    other = serialization.load_der_public_key(unb64(bench.export("public-key", "k", format="der")))

    if type_ == "ed25519":
        seed, half = unb64(default)[:32], unb64(default)[32:]
        assert (seed, half) == (keys[0].private_bytes_raw(), unb64(shown))
        assert bench.export("public-key", "k") == shown
    else:
        keys.append(serialization.load_pem_private_key(default.encode(), None))
        assert default.startswith(f"-----BEGIN {'RSA' if 'rsa' in type_ else 'EC'} PRIVATE KEY-----")
        assert bench.export("public-key", "k") == shown.strip()
        name = "rsa" if "rsa" in type_ else "ec"
        text = f"unknown key format for {name} key; supported values are ``, `der`, or `pem`"
        for kind in ("signing-key", "public-key"):
            assert bench.refused("read", f"export/{kind}/k", None, {"format": "raw"}).texts == (text,)
    assert [key.public_key() == public == other for key in keys] == [True] * len(keys)


def test_a_key_that_is_not_exportable_stays(bench):
    """Its public half is public."""
    bench.make("k", "ecdsa-p256")

    assert bench.export("public-key", "k").startswith("-----BEGIN PUBLIC KEY-----")
    for kind in ("signing-key", "hmac-key", "encryption-key"):
        assert bench.refused("read", f"export/{kind}/k").texts == ("private key material is not exportable",)


@pytest.mark.parametrize("type_", ALL)
def test_a_key_is_exported_for_what_it_can_do(bench, type_):
    """And for nothing else."""
    shown = bench.post("keys/k", type=type_, exportable=True)
    allowed = {
        "encryption-key": shown["supports_encryption"],
        "signing-key": shown["supports_signing"],
        "public-key": shown["supports_signing"],
        "hmac-key": True,
    }

    for kind, may in allowed.items():
        if may:
            assert bench.get(f"export/{kind}/k") == {"name": "k", "type": type_, "keys": {"1": bench.export(kind, "k")}}
        else:
            assert bench.refused("read", f"export/{kind}/k").status == 400


def test_versions_are_exported_above_the_minimum(bench):
    """All of them, the latest, or one."""
    bench.make("k", exportable=True)
    bench.post("keys/k/rotate")
    bench.post("keys/k/rotate")
    all_keys = bench.get("export/encryption-key/k")["keys"]
    bench.post("keys/k/config", min_decryption_version=2)

    assert list(all_keys) == ["1", "2", "3"]
    assert list(bench.get("export/encryption-key/k")["keys"]) == ["2", "3"]
    assert bench.get("export/encryption-key/k/latest")["keys"] == {"3": all_keys["3"]}
    assert bench.get("export/encryption-key/k/v2")["keys"] == {"2": all_keys["2"]}
    for version, text in (
        ("1", "version for export is below minimum decryption version"),
        ("4", "version does not exist or cannot be found"),
        ("x", "invalid key version"),
    ):
        assert bench.refused("read", f"export/encryption-key/k/{version}").texts == (text,)


def test_what_cannot_be_exported_is_refused(bench):
    """A type, a form, a key that is not there."""
    bench.make("k", exportable=True)

    assert bench.refused("read", "export/kitty-key/k").texts == ("invalid export type: kitty-key",)
    assert bench.refused("read", "export/hmac-key/k", None, {"format": "xml"}).texts == ("invalid format: xml",)
    assert bench.refused("read", "export/hmac-key/nothing").status == 404


# ---- backup and restore
def backed_up(bench: TransitBench, type_: str = "aes256-gcm96", **fields) -> str:
    bench.make("k", type_, exportable=True, allow_plaintext_backup=True, **fields)
    return bench.get("backup/k")["backup"]


@pytest.mark.parametrize("type_", ALL)
def test_a_key_comes_back_under_another_name(bench, type_):
    """As it was: the same keys, the same limits."""
    text = backed_up(bench, type_)
    bench.post("keys/k/rotate")
    text = bench.get("backup/k")["backup"]
    before = bench.get("keys/k")
    assert bench.ask("update", "restore/other", {"backup": text}).empty
    after = bench.get("keys/other")

    time = "2025-11-24T09:41:00.25Z"
    assert before["backup_info"] == {"time": time, "version": 2}
    assert after == before | {"name": "other", "restore_info": {"time": time, "version": 2}}
    assert bench.get("export/hmac-key/other")["keys"] == bench.get("export/hmac-key/k")["keys"]
    assert check(bench.view.state) == orphans(bench.view.state) == []


def test_a_restored_key_opens_what_the_old_one_made(bench):
    """After it was deleted, in another mount, trimmed."""
    bench.make("k", exportable=True, allow_plaintext_backup=True)
    bench.post("keys/k/rotate")
    bench.post("keys/k/rotate")
    ciphertext = bench.encrypt("k", key_version=2)
    bench.post("keys/k/config", min_decryption_version=2, min_encryption_version=2)
    bench.post("keys/k/trim", min_available_version=2)
    text = bench.get("backup/k")["backup"]
    elsewhere = TransitBench()
    elsewhere.ask("update", "restore", {"backup": text})

    assert elsewhere.decrypt("k", ciphertext) == b"hello"
    assert list(elsewhere.get("keys/k")["keys"]) == ["2", "3"]
    assert elsewhere.encrypt("k").startswith("vault:v3:")
    assert elsewhere.post("keys/k/rotate")["latest_version"] == 4


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "exporting is disallowed on the policy"),
        ({"allow_plaintext_backup": True}, "exporting is disallowed on the policy"),
        ({"exportable": True}, "plaintext backup is disallowed on the policy"),
    ],
)
def test_a_backup_has_to_be_allowed(bench, fields, text):
    """Twice over; with the status that clients know."""
    bench.make("k", **fields)
    refusal = bench.refused("read", "backup/k")

    assert (refusal.status, refusal.texts, refusal.wrapped) == (500, (text,), True)
    assert "backup_info" not in bench.get("keys/k")
    assert bench.refused("read", "backup/nothing").texts == ('key "nothing" not found',)


def test_a_key_that_is_there_is_replaced_only_by_force(bench):
    """Whole: versions that the backup does not have are gone, too."""
    text = backed_up(bench)
    old = bench.encrypt("k")
    for _ in range(3):
        bench.post("keys/k/rotate")
    newer = bench.encrypt("k")
    refusal = bench.refused("update", "restore", {"backup": text})
    assert (refusal.status, refusal.texts, refusal.wrapped) == (500, ('key "k" already exists',), True)

    assert bench.ask("update", "restore", {"backup": text, "force": True}).empty
    assert bench.decrypt("k", old) == b"hello"
    assert bench.no("decrypt/k", ciphertext=newer) == (400, "invalid ciphertext: version is too new")
    assert bench.view.state.list_entries(bench.mount.uuid + b"version/k/") == [b"1"]
    bench.post("keys/k/rotate")
    assert bench.no("decrypt/k", ciphertext=newer.replace("v4", "v2"))[0] == 400
    assert check(bench.view.state) == orphans(bench.view.state) == []


def test_a_restored_key_may_be_newer_than_what_it_replaces(bench):
    """The versions between are put, those below are gone."""
    bench.make("k", exportable=True, allow_plaintext_backup=True)
    for _ in range(4):
        bench.post("keys/k/rotate")
    bench.post("keys/k/config", min_decryption_version=3, min_encryption_version=3)
    bench.post("keys/k/trim", min_available_version=3)
    text = bench.get("backup/k")["backup"]
    other = TransitBench()
    other.make("k")
    other.post("keys/k/rotate")
    other.ask("update", "restore/k", {"backup": text, "force": True})

    assert other.view.state.list_entries(other.mount.uuid + b"version/k/") == [b"3", b"4", b"5"]


def test_the_answer_of_a_backup_is_a_secret_and_is_not_kept(bench):
    """What is remembered for repetitions never holds a key."""
    backed_up(bench)
    assert bench.plans[-1].secret_answer is True

    bench.ask("update", "restore/b", {"backup": bench.get("backup/k")["backup"]})
    assert bench.plans[-1].secret_answer is True


def test_what_cannot_be_restored_is_refused(bench):
    """No text, another text, a name that is a path."""
    text = backed_up(bench)

    assert bench.no("restore") == (400, "'backup' must be supplied")
    assert bench.no("restore/a/b", backup=text) == (400, "key names cannot be paths")
    assert bench.no("restore/-a", backup=text) == (400, "invalid key name")
    for wrong in ("planted", b64("planted"), b64("{}"), b64("[1]"), b64(b"\xff"), b64("[" * 5000)):
        assert bench.no("restore/a", backup=wrong) == BAD


def test_a_restored_name_is_as_long_as_names_are(bench):
    """Whether it stands in the path or in the backup; the longest is taken."""
    outer = json.loads(base64.b64decode(backed_up(bench)))

    def named(name: str) -> str:
        return b64(json.dumps([outer[0], name, *outer[2:]]))

    for name in ("n" * 513, "n" * 5000, "a/b", "-a", ""):
        assert bench.no("restore", backup=named(name)) == (400, "invalid key name")
    assert bench.no("restore/" + "n" * 513, backup=named("k")) == (400, "invalid key name")
    assert bench.ask("update", "restore", {"backup": named("n" * 512)}).empty
    assert bench.get("keys/" + "n" * 512)["latest_version"] == 1


def test_a_decision_without_the_checking_asks_for_it(bench):
    """It is done beforehand, in a thread."""
    request = make_request(Operation.UPDATE, "transit/restore/a", {"backup": backed_up(bench)})
    with pytest.raises(StaleLabour):
        bench.engine.decide(bench.context(), request, "restore/a")


FIELDS = {
    "type": 0, "latest": 1, "min_decryption": 2, "min_encryption": 3, "min_available": 4, "rotated": 5, "derived": 6,
    "convergent": 7, "period": 11, "key_bytes": 12, "backup": 13, "restored": 14,
}  # fmt: skip


def changed(text: str, **changes) -> str:
    """The backup with fields of the key replaced, or `format`, `versions`, `version` (one field of the first)."""
    outer = json.loads(base64.b64decode(text))
    for name, value in changes.items():
        if name == "format":
            outer[0] = value
        elif name == "versions":
            outer[3] = value(outer[3])
        elif name == "version":
            outer[3]["1"][value[0]] = value[1]
        else:
            outer[2][FIELDS[name]] = value
    return b64(json.dumps(outer))


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "kitty"},
        {"type": "aes128-gcm96"},
        {"type": "rsa-2048"},
        {"type": "ecdsa-p256"},
        {"type": "ed25519", "convergent": True, "derived": True},
        {"convergent": True},
        {"latest": 2},
        {"latest": 0},
        {"latest": 2**53},
        {"min_decryption": 0},
        {"min_decryption": 2},
        {"min_encryption": 2},
        {"min_encryption": -1},
        {"min_available": 2},
        {"min_available": -1},
        {"min_available": 1},
        {"rotated": -1},
        {"period": 5},
        {"key_bytes": 32},
        {"backup": [-1, 1]},
        {"backup": [1, -1]},
        {"backup": [1, 2]},
        {"backup": [1, 10**30]},
        {"restored": [-1, 1]},
        {"restored": [1, 2]},
        {"restored": [1, 10**30]},
        {"versions": lambda _: {}},
        {"versions": lambda old: old | {"2": old["1"]}},
        {"version": (0, b64(b"x" * 31))},
        {"version": (0, 7)},
        {"version": (1, b64(b"x" * 31))},
        {"version": (2, -1)},
        {"version": (2, 2**62)},
    ],
)
def test_a_backup_that_was_changed_is_refused(bench, changes):
    """One that was not is read; a field too much is not believed."""
    text = backed_up(bench)

    assert isinstance(read(changed(text)), Backup)
    found = read(changed(text, **changes))
    assert isinstance(found, Refusal)
    assert (found.status, found.texts[0]) == BAD


def test_a_backup_of_a_later_format_says_so(bench):
    """Another program wrote it."""
    found = read(changed(backed_up(bench), format=2))

    assert isinstance(found, Refusal)
    assert found.texts == ("the backup has a format that this version does not read",)


def der(key) -> str:
    encoding, form = serialization.Encoding.DER, serialization.PrivateFormat.PKCS8
    return b64(key.private_bytes(encoding, form, serialization.NoEncryption()))


@pytest.mark.parametrize(
    ("type_", "key"),
    [
        ("ecdsa-p256", lambda: ec.generate_private_key(ec.SECP384R1())),
        ("ecdsa-p256", lambda: rsa.generate_private_key(65537, 2048)),
        ("rsa-2048", lambda: rsa.generate_private_key(3, 2048)),
        ("rsa-2048", lambda: rsa.generate_private_key(65537, 1024)),
        ("rsa-2048", lambda: ec.generate_private_key(ec.SECP256R1())),
    ],
)
def test_a_key_of_another_kind_or_size_is_refused(bench, type_, key):
    """A right one is taken, and its public half computed."""
    text = backed_up(bench, type_)
    good = ec.generate_private_key(ec.SECP256R1()) if "ecdsa" in type_ else rsa.generate_private_key(65537, 2048)

    assert isinstance(read(changed(text, version=(0, der(key())))), Refusal)
    found = read(changed(text, version=(0, der(good))))
    assert isinstance(found, Backup)
    assert serialization.load_der_public_key(found.versions[1].public) == good.public_key()


def test_an_rsa_key_whose_numbers_do_not_fit_is_refused(bench):
    """One that would leak its factors with its first signature."""
    text = backed_up(bench, "rsa-2048")
    numbers = rsa.generate_private_key(65537, 2048).private_numbers()
    wrong = rsa.RSAPrivateNumbers(
        numbers.p, numbers.q, numbers.d, numbers.dmp1 ^ 2, numbers.dmq1, numbers.iqmp, numbers.public_numbers
    ).private_key(unsafe_skip_rsa_key_validation=True)

    assert isinstance(read(changed(text, version=(0, der(wrong)))), Refusal)


def test_a_backup_shows_nothing(bench):
    """It holds every version."""
    found = read(backed_up(bench))

    assert repr(found) == "<Backup>"
    assert backups.FORMAT == 1
