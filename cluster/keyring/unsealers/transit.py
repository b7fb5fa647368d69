"""The `transit` unsealer: the transit engine of another Vault, OpenBao or Strongroom keeps what wraps the root key.

Touches one file (the token), through `KeyFile`, and the network through `Post`; blocking, for a thread. The other vault
encrypts a key that is drawn for one wrapping; that key wraps the root key here. So the other vault never sees a root
key, and who has only one of the two, the other vault or this cluster's envelope, has nothing.

Invariants
  V1  what wraps was decrypted again by the other vault before anything is wrapped with it: a token or key that can
      encrypt and not decrypt is found at init, not at the next start
  V2  the token goes to the configured address and nowhere else: no redirection is followed, no proxy is asked
  V3  an answer that comes byte by byte, or without end, is cut off: whoever waits for it is free again
  V4  no error holds the token, a key, a ciphertext, or a word that the other vault said
Wrapped root key: format u16 | length u16 | ciphertext as text | what static.py writes with the key inside it.
Source: Vault API, "transit"; Vault, "transit seal".
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import http.client
import json
import socket
import ssl
import struct
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import quote, urlsplit

from cluster.errors import DamagedError, StrongroomError, UnavailableError, WrongKeyError
from cluster.keyring.envelope import read_seal
from cluster.keyring.purposes import FORMAT, KEY_BYTES, NONCE_BYTES
from cluster.keyring.seal import Unsealed, open_envelope
from cluster.keyring.secrecy import Secret, wipe

from . import static
from .static import KeyFile, KeyFileError, SystemKeyFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.seams import Random

TIMEOUT_S = 10.0  # to connect; for the handshake; from the request to the end of its answer
LEASE_S_MAX = 10 * 365 * 86400
TOKEN_BYTES_MAX = 4096
CIPHERTEXT_BYTES_MAX = 4096
ANSWER_BYTES_MAX = 65536
RENEW = "renew-self"
AGAIN = frozenset({408, 412, 425, 429, 472, 473, 474, 500, 502, 503, 504})
"""Statuses of a vault that is sealed, has no leader, or is busy."""

_HEAD = struct.Struct(">HH")


class TransitUnavailableError(UnavailableError):
    """The other vault cannot be reached, or cannot answer now: worth another attempt."""


class TransitRefusedError(StrongroomError):
    """The other vault says no. The sentence says what an operator should look at."""


@dataclass(frozen=True, slots=True)
class TransitSettings:
    """Where the other vault is. `address` is a URL without a path, https but on this machine; no file is read yet."""

    address: str
    token_file: str
    key_name: str
    mount_path: str = "transit"
    tls_ca_file: str = ""


class Said(NamedTuple):
    """An answer of the other vault."""

    status: int
    body: bytes

    def __repr__(self) -> str:
        return f"<Said {self.status}>"


class Post(Protocol):
    """Sends one request, so that tests need no network."""

    def __call__(self, path: str, token: str, body: bytes) -> Said:
        """The answer to a POST below /v1/. Raises TransitUnavailableError."""
        ...


class HttpsPost:
    """Over the network, one connection for each request (V2)."""

    def __init__(self, settings: TransitSettings) -> None:
        self._settings = settings

    def __call__(self, path: str, token: str, body: bytes) -> Said:
        """See Post."""
        headers = {"X-Vault-Token": token, "X-Vault-Request": "true", "Content-Type": "application/json"}
        connection = self._connection()
        try:
            connection.connect()
            with _cut_off(connection.sock):
                connection.request("POST", f"/v1/{path}", body, headers)
                response = connection.getresponse()
                return Said(response.status, response.read(ANSWER_BYTES_MAX))
        except ssl.SSLCertVerificationError:
            raise TransitUnavailableError("its certificate is not trusted: see seal.transit_tls_ca_file") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise TransitUnavailableError(f"it cannot be reached: {type(error).__name__}") from None
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self._settings.address)
        host, port = parts.hostname or "", parts.port
        if parts.scheme != "https":
            return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        try:
            context = ssl.create_default_context(cafile=self._settings.tls_ca_file or None)
        except (OSError, ValueError):
            raise TransitUnavailableError("seal.transit_tls_ca_file cannot be used") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)


@contextlib.contextmanager
def _cut_off(sock: socket.socket) -> Iterator[None]:
    """V3: who still reads after TIMEOUT_S reads the end. The socket's own timeout begins anew with each byte."""
    is_cut = threading.Event()
    timer = threading.Timer(TIMEOUT_S, _end, (sock, is_cut))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if is_cut.is_set():
            raise TransitUnavailableError("its answer does not come to an end") from None


def _end(sock: socket.socket, is_cut: threading.Event) -> None:
    is_cut.set()
    with contextlib.suppress(OSError):  # it is closed already
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # below TLS, whose state is the reader's


class Wrapping(Secret):
    """Wraps one root key, as `seal.Wrap`. Its key is gone afterwards."""

    __slots__ = ("_ciphertext", "_key", "_nonce")

    def __init__(self, key: bytearray, ciphertext: str, nonce: bytes) -> None:
        self._key = key
        self._ciphertext = ciphertext.encode("ascii")
        self._nonce = nonce

    def __call__(self, root_key: bytearray, check: bytes, epoch: int) -> bytes:
        """The wrapped root key. Once."""
        if not any(self._key):
            raise ValueError("one key wraps one root key")
        head = _HEAD.pack(FORMAT, len(self._ciphertext)) + self._ciphertext
        try:
            return head + static.wrap(self._key, root_key, check, epoch, self._nonce)
        finally:
            wipe(self._key)

    def wipe(self) -> None:
        """It wraps nothing any more."""
        wipe(self._key)


class Transit:
    """The other vault, as this cluster uses it. Every call blocks for TIMEOUT_S at most, or a few of them."""

    def __init__(self, settings: TransitSettings, post: Post | None = None, files: KeyFile | None = None) -> None:
        self._settings = settings
        self._post = post or HttpsPost(settings)
        self._files = files or SystemKeyFile()

    def __repr__(self) -> str:
        return "<Transit>"

    def prepare(self, random: Random) -> Wrapping:
        """What wraps the next root key (V1). Raises KeyFileError and the errors of this module."""
        key = bytearray(random.bytes(KEY_BYTES))
        try:
            ciphertext = self._text(self._said("encrypt", {"plaintext": base64.b64encode(key).decode()}), "ciphertext")
            self._check_back(ciphertext, key)
        except BaseException:
            wipe(key)
            raise
        return Wrapping(key, ciphertext, random.bytes(NONCE_BYTES))

    def unseal(self, envelope: bytes) -> Unsealed:
        """Root key and keyring. Raises WrongKeyError, DamagedError, KeyFileError, and the errors of this module."""
        return open_envelope(self._root_key(envelope), envelope)

    def check(self, envelope: bytes) -> None:
        """The envelope can be opened with what the other vault gives now. Raises as `unseal`."""
        wipe(self._root_key(envelope))

    def renew(self) -> int:
        """The token lives on: so many seconds, 0 if it needs no renewal. Raises KeyFileError, and this module's."""
        auth = self._answered(self._post(f"auth/token/{RENEW}", self._token(), b"{}"), RENEW).get("auth")
        duration_s = auth.get("lease_duration") if isinstance(auth, dict) else None
        if not isinstance(duration_s, int) or isinstance(duration_s, bool):
            return 0
        return min(max(duration_s, 0), LEASE_S_MAX)

    # ----
    def _root_key(self, envelope: bytes) -> bytearray:
        """The root key, in a buffer that the caller wipes. Raises as `unseal`."""
        _, seal = read_seal(envelope)
        if seal.type != "transit":
            raise WrongKeyError("this cluster is not sealed with another vault's key")
        ciphertext, wrapped = taken_apart(seal.wrapped_root)
        key = self._decrypt(ciphertext)
        try:
            return static.unwrap(key, wrapped, seal.key_check, seal.epoch)
        except WrongKeyError:
            raise WrongKeyError("what the other vault gives does not open this cluster's root key") from None
        finally:
            wipe(key)

    def _check_back(self, ciphertext: str, key: bytearray) -> None:
        """V1."""
        back = self._decrypt(ciphertext)
        same = hmac.compare_digest(back, key)
        wipe(back)
        if not same:
            raise TransitRefusedError("the other vault does not give back what it encrypted")

    def _token(self) -> str:
        """Read each time: an agent may have put a newer one there."""
        data = static.read_private(self._settings.token_file, self._files, "transit_token_file", TOKEN_BYTES_MAX)
        try:
            text = data.decode("ascii").strip()
        except UnicodeDecodeError:
            text = ""
        finally:
            wipe(data)
        if not text or not text.isprintable() or " " in text:
            raise KeyFileError("seal: transit_token_file must hold one token")
        return text

    def _said(self, verb: str, fields: dict[str, str]) -> Any:
        settings = self._settings
        path = f"{quote(settings.mount_path.strip('/'))}/{verb}/{quote(settings.key_name, safe='')}"
        said = self._post(path, self._token(), json.dumps(fields).encode())
        return self._answered(said, verb).get("data")

    def _answered(self, said: Said, verb: str) -> dict[str, Any]:
        if said.status in AGAIN:
            raise TransitUnavailableError(f"it answers {said.status}: sealed, busy, or without a leader")
        if said.status in {301, 302, 307, 308}:
            raise TransitRefusedError("it answers with a redirection: seal.transit_address must be one that serves")
        if said.status != 200:
            look = "its policy" if verb == RENEW else "its policy, the mount path and the key's name"
            raise TransitRefusedError(f"it refuses {verb} with {said.status}: look at the token, {look}")
        try:
            body = json.loads(said.body)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise TransitUnavailableError("its answer is not one of the transit engine")
        return body

    def _decrypt(self, ciphertext: str) -> bytearray:
        text = self._text(self._said("decrypt", {"ciphertext": ciphertext}), "plaintext")
        try:
            key = bytearray(base64.b64decode(text, validate=True))
        except ValueError:
            key = bytearray()
        if len(key) != KEY_BYTES:
            wipe(key)
            raise WrongKeyError("what the other vault gives is not a key of this cluster")
        return key

    def _text(self, data: Any, name: str) -> str:
        text = data.get(name) if isinstance(data, dict) else None
        if not isinstance(text, str) or not text.isascii() or not 0 < len(text) <= CIPHERTEXT_BYTES_MAX:
            raise TransitUnavailableError("its answer is not one of the transit engine")
        return text


def taken_apart(wrapped: bytes) -> tuple[str, bytes]:
    """(ciphertext of the key, the root key that it wraps). Raises DamagedError."""
    try:
        kind, length = _HEAD.unpack_from(wrapped)
    except struct.error:
        raise DamagedError("a wrapped root key is cut short") from None
    rest_at = _HEAD.size + length
    ciphertext = wrapped[_HEAD.size : rest_at]
    whole = 0 < length <= CIPHERTEXT_BYTES_MAX and len(ciphertext) == length
    if kind != FORMAT or not whole or not ciphertext.isascii():
        raise DamagedError("a wrapped root key has an unknown format or a wrong length")
    return ciphertext.decode("ascii"), wrapped[rest_at:]


__all__ = ["Said", "Transit", "TransitRefusedError", "TransitSettings", "TransitUnavailableError", "Wrapping"]
