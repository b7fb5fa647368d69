"""The seal: init's sentences, collecting shares, and what rekey leaves of the old shares."""

import base64
import itertools
import string

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cluster.errors import DamagedError, WrongKeyError
from cluster.keyring import (
    InvalidShareError,
    Purpose,
    UnsealProgress,
    WrongSharesError,
    init_problem,
    initialise,
    key_check,
    open_envelope,
    open_keyring,
    parse_share,
    read_seal,
    rekey,
    rotate,
    shamir,
)
from cluster.keyring.unsealers.shamir import ShamirUnsealer

CLUSTER_ID = b"cluster-of-tests"
OTHER_ID = b"cluster-restored"
BAD_KEY = "'key' must be a valid hex or base64 string"
TOO_SHORT = "invalid key: key is shorter than minimum 16 bytes"
TOO_LONG = "invalid key: key is longer than maximum 33 bytes"
WRONG = (
    "unable to retrieve stored keys: invalid key: failed to decrypt keys from storage: "
    "cipher: message authentication failed"
)


@pytest.fixture(name="new")
def _new(fixed_random):
    return initialise(fixed_random, CLUSTER_ID, 1, seal_type="shamir", shares=5, threshold=3, peers=True)


@pytest.fixture(name="progress")
def _progress(new, fixed_random):
    return UnsealProgress(new.seal, fixed_random)


def _base64(share):
    return base64.b64encode(share).decode()


# --- what init may ask for


@pytest.mark.parametrize(
    ("shares", "threshold", "pgp_keys", "sentence"),
    [
        (5, 3, 0, None),
        (1, 1, 0, None),
        (255, 255, 0, None),
        (2, 2, 2, None),
        (0, 1, 0, "shares must be at least one"),
        (-1, 1, 0, "shares must be at least one"),
        (3, 0, 0, "threshold must be at least one"),
        (5, 1, 0, "threshold must be greater than one for multiple shares"),
        (3, 5, 0, "threshold cannot be larger than shares"),
        (256, 3, 0, "shares must be less than 256"),
        (255, 256, 0, "threshold must be less than 256"),
        (2, 2, 1, "count mismatch between number of provided PGP keys and number of shares"),
    ],
)
def test_init_answers_with_vaults_sentences(shares, threshold, pgp_keys, sentence):
    """For the secret parameters of shamir and the recovery parameters of every other type."""
    secret = init_problem("shamir", secret_shares=shares, secret_threshold=threshold, pgp_keys=pgp_keys)
    recovery = init_problem("static", recovery_shares=shares, recovery_threshold=threshold, recovery_pgp_keys=pgp_keys)

    assert secret == (sentence and f"invalid seal configuration: {sentence}")
    assert recovery == (sentence and f"invalid recovery configuration: {sentence}")


@pytest.mark.parametrize(
    ("seal_type", "given_", "sentence"),
    [
        ("static", {}, None),
        ("static", {"secret_shares": 5, "secret_threshold": 3}, "secret_shares,secret_threshold"),
        ("static", {"pgp_keys": 1}, "pgp_keys"),
        (
            "shamir",
            {"secret_shares": 2, "secret_threshold": 2, "recovery_shares": 2, "recovery_threshold": 2},
            "recovery_shares,recovery_threshold",
        ),
    ],
)
def test_parameters_of_another_seal_type_are_refused(seal_type, given_, sentence):
    """Never ignored."""
    expected = sentence and f"parameters {sentence} not applicable to seal type {seal_type}"

    assert expected == init_problem(seal_type, **given_)


# --- how a share may be written


@settings(max_examples=80)
@given(st.binary(min_size=32, max_size=33))
def test_a_share_is_read_from_hex_and_from_base64(share):
    """Upper and lower case hex, and base64: the same bytes (but for base64 of hex digits alone, see below)."""
    assume(set(_base64(share)) - set(string.hexdigits))
    written = (share.hex(), share.hex().upper(), _base64(share))

    assert [share] * 3 == [parse_share(text) for text in written]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abcd" * 6, base64.b64decode("abcd" * 6)),  # 12 bytes as hex are too few: 18 as base64
        ("abcd" * 8, bytes.fromhex("abcd" * 8)),  # 16 bytes as hex fit
        ("abcd" * 11, bytes.fromhex("abcd" * 11)),  # would be 33 as base64: 1 share in 10^20 is written so
    ],
)
def test_text_of_hex_digits_is_hex_if_its_length_fits(text, expected):
    """As Vault decides it."""
    assert expected == parse_share(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("zz", BAD_KEY),
        ("äöü", BAD_KEY),
        ("00 " * 16, BAD_KEY),
        ("=" * 44, BAD_KEY),
        ("abcd", TOO_SHORT),
        ("", TOO_SHORT),
        ("00" * 15, BAD_KEY),  # and 30 digits are no base64 either
        ("abcd" * 17, TOO_LONG),
        (base64.b64encode(bytes(34)).decode(), TOO_LONG),
    ],
)
def test_what_is_no_share_is_refused_with_vaults_sentence(text, sentence):
    """And the sentence does not hold what was given."""
    with pytest.raises(InvalidShareError) as caught:
        parse_share(text)

    assert str(caught.value) == sentence


# --- collecting shares


def test_three_of_five_shares_give_the_root_key(new):
    """Any three, hex or base64, in any order; progress and nonce are back to nothing."""
    for chosen in itertools.permutations(new.shares, 3):
        progress = UnsealProgress(new.seal, _Random())
        assert progress.offer(chosen[0].hex()) is None
        assert progress.offer(_base64(chosen[1])) is None
        root_key = progress.offer(chosen[2].hex())

        assert root_key == new.root_key
        assert (progress.progress, progress.nonce) == (0, "")


def test_progress_is_counted_under_one_nonce(new, progress):
    """A UUID that stays for the attempt and is another one for the next."""
    assert (progress.progress, progress.nonce, progress.threshold) == (0, "", 3)
    progress.offer(new.shares[0].hex())
    first = progress.nonce
    progress.offer(new.shares[1].hex())

    assert (progress.progress, progress.nonce) == (2, first)
    assert [len(part) for part in first.split("-")] == [8, 4, 4, 4, 12]

    progress.reset()
    assert (progress.progress, progress.nonce) == (0, "")
    progress.offer(new.shares[0].hex())
    assert progress.nonce not in {"", first}


def test_a_repeated_share_does_not_advance(new, progress):
    """However it is written."""
    for text in (new.shares[0].hex(), new.shares[0].hex().upper(), _base64(new.shares[0])):
        assert progress.offer(text) is None

    assert progress.progress == 1


def test_what_is_no_share_changes_nothing(new, progress):
    """A typing error does not cost what was collected."""
    progress.offer(new.shares[0].hex())
    with pytest.raises(InvalidShareError):
        progress.offer("zz")

    assert progress.progress == 1


@pytest.mark.parametrize(
    "wrong",
    [
        "11" * 33,  # a share of nothing
        "11" * 32,  # another length
        "11" * 32 + "00",  # x is 0
    ],
)
def test_wrong_shares_at_the_threshold_cost_all_progress(new, progress, wrong):
    """Vault's sentence, and the right shares work afterwards."""
    progress.offer(wrong)
    progress.offer(new.shares[0].hex())
    with pytest.raises(WrongSharesError) as caught:
        progress.offer(new.shares[1].hex())

    assert str(caught.value) == WRONG
    assert (progress.progress, progress.nonce) == (0, "")
    assert [progress.offer(share.hex()) for share in new.shares[:3]] == [None, None, new.root_key]


def test_two_shares_with_one_x_are_wrong_shares(new, progress):
    """Same x, other bytes: not an exception from the arithmetic."""
    twin = bytearray(new.shares[0])
    twin[0] ^= 1
    progress.offer(new.shares[0].hex())
    progress.offer(twin.hex())

    with pytest.raises(WrongSharesError):
        progress.offer(new.shares[1].hex())


def test_one_share_of_one_is_the_root_key(fixed_random):
    """As Vault: 32 bytes, 64 hex digits."""
    new = initialise(fixed_random, CLUSTER_ID, 1, seal_type="shamir", shares=1, threshold=1, peers=False)

    assert new.shares == [new.root_key]
    assert UnsealProgress(new.seal, fixed_random).offer(new.shares[0].hex()) == new.root_key


def test_the_unsealer_opens_its_envelope(new, fixed_random):
    """Root key and keyring, at the threshold and not before."""
    unsealer = ShamirUnsealer(new.envelope, fixed_random)
    assert unsealer.seal == new.seal
    assert unsealer.offer(new.shares[4].hex()) is None
    unsealer.reset()
    assert unsealer.progress.progress == 0
    assert [unsealer.offer(share.hex()) for share in new.shares[:2]] == [None, None]
    unsealed = unsealer.offer(new.shares[2].hex())

    assert unsealed is not None
    assert unsealed.root_key == new.root_key
    assert unsealed.keyring.encode() == new.keyring.encode()
    unsealed.wipe()
    assert (bytes(unsealed.root_key), unsealed.keyring.term_ids) == (bytes(32), [])


def test_the_unsealer_tells_a_damaged_envelope_from_wrong_shares(new, fixed_random):
    """The shares are right and the box is not."""
    damaged = new.envelope[:-1] + bytes([new.envelope[-1] ^ 1])
    unsealer = ShamirUnsealer(damaged, fixed_random)
    unsealer.offer(new.shares[0].hex())
    unsealer.offer(new.shares[1].hex())

    with pytest.raises(DamagedError):
        unsealer.offer(new.shares[2].hex())


def test_an_envelope_without_shares_cannot_be_opened_with_any(fixed_random):
    """A type that wraps, for which none were made."""
    new = initialise(fixed_random, CLUSTER_ID, 1, seal_type="static", shares=0, threshold=0, peers=False, wrap=_wrap)

    assert new.shares == []
    with pytest.raises(DamagedError):
        ShamirUnsealer(new.envelope, fixed_random)


def test_a_key_that_does_not_open_is_wiped(new):
    """No copy of a wrong key stays behind."""
    root_key = bytearray(range(32))
    with pytest.raises(WrongKeyError):
        open_envelope(root_key, new.envelope)

    assert bytes(root_key) == bytes(32)


# --- init, rotate, rekey


def test_init_makes_what_it_was_asked_for(new):
    """Epoch 1, five shares of 33 bytes, an envelope that the root key opens."""
    assert read_seal(new.envelope) == (CLUSTER_ID, new.seal)
    assert (new.seal.type, new.seal.shares, new.seal.threshold, new.seal.peers, new.seal.epoch) == (
        "shamir",
        5,
        3,
        True,
        1,
    )
    assert new.seal.key_check == key_check(new.root_key)
    assert [len(share) for share in new.shares] == [33] * 5
    assert open_keyring(new.root_key, new.envelope).encode() == new.keyring.encode()


@pytest.mark.parametrize(
    ("seal_type", "shares", "threshold", "wrap"),
    [("shamir", 0, 0, None), ("shamir", 3, 2, lambda *_: b"w"), ("static", 0, 0, None), ("static", 3, 2, None)],
)
def test_a_root_key_that_nothing_could_give_back_is_not_made(fixed_random, seal_type, shares, threshold, wrap):
    """A shamir seal has shares and no wrapped key, every other type a wrapped key."""
    with pytest.raises(ValueError, match="shamir"):
        initialise(
            fixed_random, CLUSTER_ID, 1, seal_type=seal_type, shares=shares, threshold=threshold, peers=False, wrap=wrap
        )


def test_rekey_makes_a_new_root_key_the_next_epoch_and_a_new_term(new, fixed_random):
    """Old shares open only the old envelope, new ones only the new; nothing old is sealed anew."""
    again = rekey(new.keyring, new.seal, fixed_random, 2, shares=3, threshold=2)
    old, fresh = UnsealProgress(new.seal, fixed_random), UnsealProgress(again.seal, fixed_random)

    assert again.root_key != new.root_key
    assert (again.seal.epoch, again.seal.shares, again.seal.threshold, again.seal.peers) == (2, 3, 2, True)
    assert again.keyring.term_ids == [*new.keyring.term_ids, again.keyring.active_term_id]
    assert [fresh.offer(share.hex()) for share in again.shares[:2]] == [None, again.root_key]
    assert [old.offer(share.hex()) for share in new.shares[:3]] == [None, None, new.root_key]
    for root_key, envelope in ((new.root_key, again.envelope), (again.root_key, new.envelope)):
        with pytest.raises(WrongKeyError):
            open_keyring(root_key, envelope)


def test_old_shares_do_not_pass_after_a_rekey(new, fixed_random):
    """All five of them, at the new threshold."""
    again = rekey(new.keyring, new.seal, fixed_random, 2, shares=3, threshold=2)
    progress = UnsealProgress(again.seal, fixed_random)
    progress.offer(new.shares[0].hex())

    with pytest.raises(WrongSharesError):
        progress.offer(new.shares[1].hex())


def test_the_old_keyring_is_still_whole_until_the_caller_wipes_it(new, fixed_random):
    """The rekey may fail to commit; and wiping the old one does not empty the new one."""
    term_id = new.keyring.active_term_id
    before = bytes(new.keyring.purpose_key(term_id, Purpose.ENTRY))
    again = rekey(new.keyring, new.seal, fixed_random, 2, shares=3, threshold=2)

    assert bytes(new.keyring.purpose_key(term_id, Purpose.ENTRY)) == before
    new.wipe()
    assert bytes(again.keyring.purpose_key(term_id, Purpose.ENTRY)) == before


def test_rotate_keeps_root_key_and_epoch(new, fixed_random):
    """The same shares open the rotated keyring; a new cluster id appears in the clear part too."""
    rotated, envelope = rotate(new.root_key, new.keyring, new.seal, fixed_random, 2)
    restored, restored_envelope = rotate(new.root_key, rotated, new.seal, fixed_random, 3, cluster_id=OTHER_ID)

    assert read_seal(envelope) == (CLUSTER_ID, new.seal)
    assert open_keyring(new.root_key, envelope).encode() == rotated.encode()
    assert read_seal(restored_envelope) == (OTHER_ID, new.seal)
    assert open_keyring(new.root_key, restored_envelope).term_ids == restored.term_ids


def test_rotate_with_another_root_key_is_refused(new, fixed_random):
    """A keyring that nobody could open again is not made."""
    with pytest.raises(WrongKeyError):
        rotate(bytes(32), new.keyring, new.seal, fixed_random, 2)


def test_shares_may_be_made_of_a_wrapped_root_key_too(fixed_random):
    """Recovery shares: what opens a node that an operator sealed, and a backup."""
    new = initialise(fixed_random, CLUSTER_ID, 1, seal_type="static", shares=3, threshold=2, peers=False, wrap=_wrap)

    assert new.seal.wrapped_root == b"wrapped at epoch 1"
    assert shamir.combine(new.shares[1:]) == new.root_key


def _wrap(_root_key, check, epoch):
    assert len(check) == 32
    return b"wrapped at epoch %d" % epoch


class _Random:
    def bytes(self, count: int) -> bytes:
        return bytes(count)
