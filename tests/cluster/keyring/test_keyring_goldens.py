"""One golden of each format of the room, made with fixed keys and nonces: they must open for ever."""

import json
from pathlib import Path

import pytest

from cluster.keyring import Keyring, Sealer, open_keyring, read_seal, seal_keyring
from cluster.keyring.unsealers import static, transit
from cluster.keyring.unsealers.peers import Asking, Request, Standing, grant, hand_out

GOLDENS = Path(__file__).parents[2] / "golden" / "formats"


def _golden(name):
    fields = json.loads((GOLDENS / f"{name}.json").read_text())
    return {key: bytes.fromhex(value) if isinstance(value, str) else value for key, value in fields.items()}


@pytest.fixture(name="old")
def _old():
    return _golden("keyring_envelope")


@pytest.fixture(name="old_sealer")
def _old_sealer(old, fixed_random):
    return Sealer(open_keyring(old["root_key"], old["envelope"]), fixed_random, old["generation"])


def test_the_golden_envelope_opens_and_is_written_the_same_today(old):
    """Keyring, configuration and every byte of the envelope."""
    keyring = open_keyring(old["root_key"], old["envelope"])
    cluster_id, seal = read_seal(old["envelope"])

    assert keyring.encode() == old["keyring"]
    assert Keyring.decode(old["keyring"]).token_hash(b"hvs.golden") == old["token_hash"]
    assert keyring.conflict_hash(b"golden") == old["conflict_hash"]
    assert cluster_id == old["cluster_id"]
    assert seal_keyring(old["root_key"], keyring, seal, old["nonce"]) == old["envelope"]


def test_the_golden_value_opens(old_sealer):
    """Sealed with the first of two key terms."""
    golden = _golden("sealed_value")
    old_sealer.learn_salt(golden["salt_id"], golden["key_term_id"], golden["salt"])
    place = {"table": golden["table"], **{name: golden[name] for name in ("key", "field", "record_id")}}

    assert golden["key_term_id"] == old_sealer.keyring.term_ids[0]
    assert old_sealer.open_value(golden["salt_id"], golden["box"], **place) == golden["plaintext"]


def test_the_golden_entry_opens(old_sealer):
    """In the Raft term of its proposer."""
    golden = _golden("sealed_entry")

    assert old_sealer.open_entry(golden["term"], golden["entry"]) == golden["payload"]


def test_the_golden_chunk_opens(old_sealer):
    """As the last chunk of its snapshot."""
    golden = _golden("sealed_snapshot_chunk")
    place = {"snapshot_id": golden["snapshot_id"], "index": golden["index"], "term": golden["term"]}
    expected = (golden["number"], True, golden["payload"])

    assert expected == old_sealer.open_chunk(**place, chunk=golden["chunk"])


def test_the_golden_wrapped_root_key_opens(old):
    """With its key file, and is written the same today."""
    golden = _golden("static_wrapped_root")
    _, seal = read_seal(old["envelope"])

    assert static.unwrap(golden["static_key"], golden["wrapped"], seal.key_check, seal.epoch) == old["root_key"]
    assert golden["wrapped"] == static.wrap(
        golden["static_key"], old["root_key"], seal.key_check, seal.epoch, golden["nonce"]
    )


def test_the_golden_grant_opens(old, make_random):
    """With the key that its asker drew; the request is written the same today."""
    golden = _golden("peers_grant")
    request = Request.decode(golden["request"])
    asking = Asking(
        make_random(golden["asker_seed"]),
        **{name: getattr(request, name) for name in request.__struct_fields__ if name != "public_key"},
    )

    assert asking.request.encode() == golden["request"]
    assert asking.open("n1", golden["grant"]) == old["root_key"]


def test_the_golden_grant_is_written_the_same_today(old, make_random):
    """The giver's side, with the same draws."""
    golden = _golden("peers_grant")
    request = Request.decode(golden["request"])
    standing = Standing(
        peers=True,
        giver_id="n1",
        giver_marked=False,
        asker_marked=False,
        cluster_id=request.cluster_id,
        epoch=request.epoch,
        member_spki=request.spki,
        link_spki=request.spki,
        address="",
        absence_s=1.0,
        absence_max_s=1.0,
        challenge_fresh=True,
        majority=False,
    )
    allowed = Standing(
        **{name: getattr(standing, name) for name in standing.__slots__ if name != "local"},
        local=(hand_out(request, standing),),
    )

    assert grant(old["root_key"], request, allowed, make_random(golden["giver_seed"])) == golden["grant"]


def test_the_golden_root_key_behind_another_vault_opens(old):
    """With the key that the vault gives back, and is written the same today."""
    golden = _golden("transit_wrapped_root")
    _, seal = read_seal(old["envelope"])
    ciphertext, wrapped = transit.taken_apart(golden["wrapped"])
    again = transit.Wrapping(bytearray(golden["key"]), ciphertext, golden["nonce"])

    assert ciphertext == "vault:v1:golden"
    assert static.unwrap(golden["key"], wrapped, seal.key_check, seal.epoch) == old["root_key"]
    assert again(bytearray(old["root_key"]), seal.key_check, seal.epoch) == golden["wrapped"]
