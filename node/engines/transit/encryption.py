"""encrypt, decrypt, rewrap, datakey.

Pure. All but `encrypt` change nothing and are answered by any node. `encrypt` may make the key it is asked for, or
rotate one whose period is over, and so is decided by the leader: that it will not cannot be told from its path alone.
Source: Vault API, transit, "Encrypt data", "Decrypt data", "Rewrap data", "Generate data key".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import Draft

from ...auth.typed_fields import to_text
from ...request import Answer, NeedsDecision, Refusal
from ..base import Context, Plan
from ..entries import find
from ..fields import Given, parameters, to_bool, to_int
from .batch import Batch, Item, Result, parse, single
from .ciphers import decrypt, encrypt
from .encoding import decode, encode
from .key_types import DEFAULT, Kind, Work, key_type
from .keys import Key, NamedKey, create, find_key, open_key, rotate, rotation_is_due
from .settings import KEYS_CONFIG, KeysConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...request import RawRequest
    from ..system.routes import Captures

ENCRYPT_FIELDS = frozenset(
    {
        "plaintext",
        "context",
        "nonce",
        "type",
        "convergent_encryption",
        "key_version",
        "partial_failure_response_code",
        "associated_data",
        "batch_input",
    }
)
DECRYPT_FIELDS = frozenset(
    {"ciphertext", "context", "nonce", "partial_failure_response_code", "associated_data", "batch_input"}
)
REWRAP_FIELDS = frozenset({"ciphertext", "context", "nonce", "key_version", "batch_input"})
DATAKEY_FIELDS = frozenset({"context", "nonce", "bits", "key_version", "associated_data"})
_NOT_FOUND = "encryption key not found"
_NOTHING_TO_DECRYPT = "missing ciphertext to decrypt"
_BITS = frozenset({128, 256, 512})


def decide_encrypt(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """The ciphertexts; the key is made if there is none, unless nothing could be encrypted with it."""
    given = parameters(request)
    names = ("plaintext", "context", "associated_data", "nonce")
    batch = parse(given, names, required=("plaintext", "encrypt"))
    if not batch.is_batch and "plaintext" not in given:
        raise Refusal(400, "missing plaintext to encrypt")
    with_context = batch.check_contexts()
    batch.decode_contexts()
    draft = Draft()
    named = _encrypting_key(context, request, captures["name"], draft, with_context=with_context)
    batch.check_size(named.type, Work.PUBLIC)
    results = batch.work(lambda item: _encrypted(context, named, item))
    if all("error" in result for result in results):
        draft = Draft()
    return Plan(batch.strict_answer(results, given), draft)


def read_encrypt(context: Context, request: RawRequest, captures: Captures) -> Answer:
    """The ciphertexts, by any node. Raises NeedsDecision where the key must be made or rotated first."""
    found = find_key(context, captures["name"])
    if found is None or rotation_is_due(found.value, context.now_ns):
        raise NeedsDecision
    return decide_encrypt(context, request, captures).answer


def read_decrypt(context: Context, request: RawRequest, captures: Captures) -> Answer:
    """The plaintexts."""
    given = parameters(request)
    batch = _ciphertexts(given, ("ciphertext", "context", "associated_data"), required=("ciphertext", "decrypt"))
    named = open_key(context, captures["name"], _NOT_FOUND)
    batch.check_size(named.type, Work.PRIVATE)
    return batch.strict_answer(batch.work(lambda item: {"plaintext": encode(_plaintext(named, item))}), given)


def read_rewrap(context: Context, request: RawRequest, captures: Captures) -> Answer:
    """The ciphertexts under another version, the latest if none is asked for. No plaintext leaves."""
    batch = _ciphertexts(parameters(request), ("ciphertext", "context"))
    named = open_key(context, captures["name"], _NOT_FOUND)
    batch.check_size(named.type, Work.BOTH)

    def rewrapped(item: Item) -> Result:
        plaintext = _plaintext(named, item)
        sealed = encrypt(named, item.key_version, plaintext, context=item.context, aad=b"", random=context.random)
        return sealed._asdict()

    return batch.answer(batch.work(rewrapped))


def read_datakey(context: Context, request: RawRequest, captures: Captures) -> Answer:
    """A fresh key under the named one; in plaintext beside, if the path says so."""
    kind = captures["kind"]
    if kind not in {"plaintext", "wrapped"}:
        raise Refusal(400, "Invalid path, must be 'plaintext' or 'wrapped'")
    given = parameters(request)
    item = single(given, ("context", "associated_data", "nonce"))
    try:
        item.context = decode(item.text("context"))
    except Refusal:
        raise Refusal(400, "failed to base64-decode context") from None
    named = open_key(context, captures["name"], _NOT_FOUND)
    bits = to_int("bits", given["bits"]) if "bits" in given else 256
    if bits not in _BITS:
        raise Refusal(400, "invalid bit length")
    if item.text("associated_data") and named.type.kind is not Kind.AEAD:
        raise Refusal(400, f"'associated_data' provided for non-AEAD cipher suite {named.type}")
    fresh = context.random(bits // 8)
    item.texts["plaintext"] = encode(fresh)
    data = _encrypted(context, named, item)
    if kind == "plaintext":
        data["plaintext"] = encode(fresh)
    return Answer(data=data)


def _encrypting_key(context: Context, request: RawRequest, name: str, draft: Draft, *, with_context: bool) -> NamedKey:
    """The key, made or rotated in the draft where it must be. Raises Refusal and StaleLabour."""
    found = find_key(context, name)
    if found is not None:
        if rotation_is_due(found.value, context.now_ns):
            return rotate(context, request, draft, name, found)
        return NamedKey(context, name, found.value)
    config = find(context, KEYS_CONFIG, KeysConfig)
    if config is not None and config.value.disable_upsert:
        raise Refusal(400, _NOT_FOUND)
    given = parameters(request)
    convergent = "convergent_encryption" in given and to_bool("convergent_encryption", given["convergent_encryption"])
    if convergent and not with_context:
        raise Refusal(400, "convergent encryption requires derivation to be enabled, so context is required")
    type_ = key_type(to_text("type", given.get("type")) or DEFAULT)
    if type_.kind is not Kind.AEAD:
        raise Refusal(400, f"key type {type_} not supported for this operation")
    key = Key(type=type_.name, derived=with_context, convergent_encryption=convergent)
    return create(context, request, draft, name, key)


def _ciphertexts(
    given: Mapping[str, Given], names: tuple[str, ...], *, required: tuple[str, str] | None = None
) -> Batch:
    batch = parse(given, names, required=required)
    batch.check_contexts()
    if not batch.is_batch and not batch.items[0].text("ciphertext"):
        raise Refusal(400, _NOTHING_TO_DECRYPT)
    for item in batch.items:
        if not item.text("ciphertext"):
            item.problem = _NOTHING_TO_DECRYPT
    batch.decode_contexts()
    return batch


def _encrypted(context: Context, named: NamedKey, item: Item) -> Result:
    if item.text("nonce"):
        raise Refusal(400, "nonce provided when not allowed")
    plaintext = decode(item.text("plaintext"))
    aad = _associated_data(named, item)
    sealed = encrypt(named, item.key_version, plaintext, context=item.context, aad=aad, random=context.random)
    return sealed._asdict()


def _plaintext(named: NamedKey, item: Item) -> bytes:
    aad = _associated_data(named, item)
    return decrypt(named, item.text("ciphertext"), context=item.context, aad=aad)


def _associated_data(named: NamedKey, item: Item) -> bytes:
    if item.text("associated_data") and named.type.encrypts and named.type.kind is not Kind.AEAD:
        raise Refusal(400, f"'associated_data' provided for non-AEAD cipher suite {named.type}")
    return item.associated_data
