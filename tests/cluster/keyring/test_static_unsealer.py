"""The static unsealer: which files it takes, and that the key wraps the root key and is bound to it."""

import base64
import os
import stat

import pytest

from cluster.errors import DamagedError, WrongKeyError
from cluster.keyring import initialise, key_check, rekey
from cluster.keyring.unsealers import static
from cluster.keyring.unsealers.static import FileContent, KeyFileError, SystemKeyFile

CLUSTER_ID = b"cluster-of-tests"
KEY = bytes((7 * number + 131) % 256 for number in range(32))
ROOT_KEY = bytes(range(32))
NONCE = b"nonce-of-12b"
REGULAR = stat.S_IFREG | 0o600


class Files:
    """One file, as the system would describe it."""

    def __init__(self, data, mode=REGULAR, owner=1000):
        self.content = FileContent(mode, owner, 1000, bytearray(data))

    def read(self, path, bytes_max):
        return self.content


@pytest.fixture(name="make")
def _make(fixed_random):
    def make(key=KEY):
        return initialise(
            fixed_random,
            CLUSTER_ID,
            1,
            seal_type="static",
            shares=0,
            threshold=0,
            peers=False,
            wrap=lambda root_key, check, epoch: static.wrap(key, root_key, check, epoch, NONCE),
        )

    return make


@pytest.mark.parametrize("mode", [0o600, 0o400])
@pytest.mark.parametrize(
    "text", [KEY.hex(), KEY.hex().upper(), KEY.hex() + "\n", base64.b64encode(KEY).decode() + "\r\n"]
)
def test_thirty_two_random_bytes_in_hex_or_base64_are_a_key(text, mode):
    """A newline behind them is what editors write; what was read is wiped."""
    files = Files(text.encode(), stat.S_IFREG | mode)

    assert static.read_key("key", files) == KEY
    assert bytes(files.content.data) == bytes(len(text))


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (Files(KEY.hex().encode(), stat.S_IFREG | 0o640), "mode 0600"),
        (Files(KEY.hex().encode(), stat.S_IFREG | 0o604), "mode 0600"),
        (Files(KEY.hex().encode(), stat.S_IFREG | 0o4600), "mode 0600"),
        (Files(KEY.hex().encode(), stat.S_IFREG | 0o700), "mode 0600"),
        (Files(KEY.hex().encode(), stat.S_IFIFO | 0o600), "regular file"),
        (Files(KEY.hex().encode(), owner=0), "belong to the user"),
    ],
)
def test_a_file_that_others_could_read_or_write_is_refused(files, sentence):
    """And its content is wiped unread."""
    with pytest.raises(KeyFileError, match=sentence):
        static.read_key("key", files)

    assert bytes(files.content.data) == bytes(64)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        KEY,  # raw bytes
        KEY[:31].hex().encode(),
        (KEY + b"x").hex().encode(),
        b"correct horse battery staple",
        base64.b64encode(b"correct horse battery staple 123"),  # a passphrase of 32 letters
        b"correct horse battery staple 123".hex().encode(),
        b"00" * 32,
        b"0123456789abcdef" * 4,
        KEY.hex().encode() + b"\n" + KEY.hex().encode(),
    ],
)
def test_anything_else_is_no_key(text):
    """Passphrases and patterns too; the sentence holds nothing of the file."""
    with pytest.raises(KeyFileError, match=r"32 random bytes") as caught:
        static.read_key("key", Files(text))

    assert text.decode("latin-1") not in str(caught.value) or not text


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_real_file_is_read_with_its_mode_and_owner(tmp_path, mode):
    """The system's reader: 0600 is taken, 0644 refused."""
    path = tmp_path / "key"
    path.write_text(KEY.hex())
    path.chmod(mode)

    if mode == 0o600:
        assert static.read_key(str(path), SystemKeyFile()) == KEY
    else:
        with pytest.raises(KeyFileError, match="mode 0600"):
            static.read_key(str(path), SystemKeyFile())


@pytest.mark.parametrize("kind", ["missing", "symlink", "pipe", "folder"])
def test_what_is_not_a_regular_file_is_refused_without_waiting(tmp_path, kind):
    """A link could lead anywhere, a pipe could block for ever."""
    path = tmp_path / "key"
    if kind == "symlink":
        (tmp_path / "real").write_text(KEY.hex())
        path.symlink_to(tmp_path / "real")
    elif kind == "pipe":
        os.mkfifo(path, 0o600)
    elif kind == "folder":
        path.mkdir(0o700)

    with pytest.raises(KeyFileError):
        static.read_key(str(path), SystemKeyFile())


def test_the_key_opens_the_envelope_that_it_wrapped_the_root_key_for(make):
    """Unattended: key and envelope are enough."""
    new = make()
    unsealed = static.unseal(KEY, new.envelope)

    assert unsealed.root_key == new.root_key
    assert unsealed.keyring.encode() == new.keyring.encode()


def test_the_static_key_is_not_the_root_key(make):
    """It wraps it: two clusters with one key file have two root keys."""
    one, two = make(), make()

    assert len({KEY, bytes(one.root_key), bytes(two.root_key)}) == 3


def test_another_key_does_not_open(make):
    """WrongKeyError."""
    with pytest.raises(WrongKeyError):
        static.unseal(bytes(reversed(KEY)), make().envelope)


def test_a_cluster_with_shares_is_not_opened_by_a_key_file(fixed_random):
    """A typed error, before anything is decrypted."""
    new = initialise(fixed_random, CLUSTER_ID, 1, seal_type="shamir", shares=3, threshold=2, peers=False)

    with pytest.raises(WrongKeyError):
        static.unseal(KEY, new.envelope)


def test_rekey_wraps_the_new_root_key_with_the_same_file(make, fixed_random):
    """Unattended starts go on; the old wrapping gives the old root key only."""
    old = make()
    new = rekey(
        old.keyring,
        old.seal,
        fixed_random,
        2,
        shares=0,
        threshold=0,
        wrap=lambda root_key, check, epoch: static.wrap(KEY, root_key, check, epoch, NONCE),
    )

    assert static.unseal(KEY, new.envelope).root_key == new.root_key != old.root_key
    with pytest.raises(WrongKeyError):
        static.unwrap(KEY, old.seal.wrapped_root, new.seal.key_check, new.seal.epoch)


def test_a_wrapped_root_key_opens_only_where_it_belongs():
    """Each dimension: key check (which root key) and seal epoch; each bit; each prefix."""
    check = key_check(ROOT_KEY)
    wrapped = static.wrap(KEY, ROOT_KEY, check, 3, NONCE)

    assert static.unwrap(KEY, wrapped, check, 3) == ROOT_KEY
    for other in ((check, 4), (key_check(KEY), 3)):
        with pytest.raises(WrongKeyError):
            static.unwrap(KEY, wrapped, *other)
    for position in range(len(wrapped)):
        with pytest.raises((WrongKeyError, DamagedError)):
            static.unwrap(KEY, wrapped[:position] + bytes([wrapped[position] ^ 1]) + wrapped[position + 1 :], check, 3)
        with pytest.raises(DamagedError):
            static.unwrap(KEY, wrapped[:position], check, 3)


def test_a_wrapping_nonce_has_twelve_bytes():
    """The layout has room for exactly that."""
    with pytest.raises(ValueError, match="12 bytes"):
        static.wrap(KEY, ROOT_KEY, key_check(ROOT_KEY), 1, b"short")
