"""sign, verify, hmac.

Pure: they change nothing and are answered by any node. A MAC is compared in constant time.
Source: Vault API, transit, "Sign data", "Verify signed data", "Generate HMAC".
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from ...auth.typed_fields import to_text
from ...request import Answer, Refusal
from ..fields import Given, parameters, to_int
from .batch import Batch, Item, Result, parse
from .encoding import decode, encode, tagged, untagged
from .hashing import DEFAULT, HASHES, decode_input, hash_name
from .key_types import Work
from .keys import NamedKey, open_key
from .signing import Scheme, scheme_of, sign, verify

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...request import RawRequest
    from ..base import Context
    from ..system.routes import Captures

SIGN_FIELDS = frozenset(
    {
        "input",
        "context",
        "hash_algorithm",
        "algorithm",
        "key_version",
        "prehashed",
        "signature_algorithm",
        "marshaling_algorithm",
        "salt_length",
        "batch_input",
    }
)
VERIFY_FIELDS = (SIGN_FIELDS - {"key_version"}) | {"signature", "hmac"}
HMAC_FIELDS = frozenset({"input", "algorithm", "key_version", "batch_input"})
_BAD_CONTEXT = "failed to base64-decode context"


def read_sign(context: Context, request: RawRequest, captures: Captures) -> Answer:
    """The signatures."""
    given = parameters(request)
    scheme = scheme_of(given, captures.get("urlalgorithm"))
    named = open_key(context, captures["name"], "signing key not found")
    if not named.type.signs:
        raise Refusal(400, f"key type {named.type} does not support signing")
    batch = parse(given, ("input", "context"))
    batch.check_size(named.type, Work.PRIVATE)
    batch.decode_contexts(_BAD_CONTEXT)
    number = to_int("key_version", given.get("key_version"))  # one for the whole batch
    return batch.answer(batch.work(lambda item: _signed(named, number, _input(batch, item), item, scheme)))


def read_verify(context: Context, request: RawRequest, captures: Captures) -> Answer:
    """Whether each signature, or each MAC, is the key's."""
    given = parameters(request)
    batch = parse(given, ("input", "context", "signature", "hmac"))
    if _is_mac(batch):
        return _verify_macs(context, given, captures, batch)
    scheme = scheme_of(given, captures.get("urlalgorithm"))
    named = open_key(context, captures["name"], "signature verification key not found")
    if not named.type.signs:
        raise Refusal(400, f"key type {named.type} does not support verification")
    batch.check_size(named.type, Work.PUBLIC)
    batch.decode_contexts(_BAD_CONTEXT)

    def verified(item: Item) -> Result:
        message = _input(batch, item)
        return {"valid": verify(named, item.text("signature"), message, item.context, scheme)}

    return batch.answer(batch.work(verified))


def read_hmac(context: Context, request: RawRequest, captures: Captures) -> Answer:
    """The MACs under one version."""
    given = parameters(request)
    named = open_key(context, captures["name"], "encryption key not found")
    number = _mac_version(named, to_int("key_version", given.get("key_version")))
    key = named.version(number).hmac_key
    chosen = captures.get("urlalgorithm") or to_text("algorithm", given.get("algorithm")) or DEFAULT
    algorithm = HASHES[hash_name(chosen, "unsupported algorithm")]
    batch = parse(given, ("input",))
    batch.check_size(named.type, Work.MAC)

    def made(item: Item) -> Result:
        if "input" not in item.texts:
            raise Refusal(400, "missing input for HMAC")
        mac = hmac.digest(key, decode_input(item.text("input")), algorithm)
        return {"hmac": tagged(number, encode(mac))}

    return batch.answer(batch.work(made))


def _verify_macs(context: Context, given: Mapping[str, Given], captures: Captures, batch: Batch) -> Answer:
    named = open_key(context, captures["name"], "encryption key not found")
    chosen = captures.get("urlalgorithm") or to_text("hash_algorithm", given.get("hash_algorithm"))
    chosen = chosen or to_text("algorithm", given.get("algorithm")) or DEFAULT
    algorithm = HASHES[hash_name(chosen, "invalid hash algorithm")]
    batch.check_size(named.type, Work.MAC)

    def verified(item: Item) -> Result:
        message = _input(batch, item)
        number, text = untagged(item.text("hmac"), "HMAC")
        try:
            mac = decode(text)
        except Refusal as refusal:
            raise Refusal(400, f"unable to decode verification HMAC as base64: {refusal.texts[0]}") from None
        if number > named.key.latest_version:
            raise Refusal(400, "invalid HMAC: version is too new")
        if number < named.key.min_decryption_version:
            raise Refusal(400, "cannot verify HMAC: version is too old (disallowed by policy)")
        made = hmac.digest(named.version(number).hmac_key, message, algorithm)
        return {"valid": hmac.compare_digest(made, mac)}

    return batch.answer(batch.work(verified))


def _signed(named: NamedKey, number: int, message: bytes, item: Item, scheme: Scheme) -> Result:
    signature = sign(named, number, message, item.context, scheme)._asdict()
    if not signature["public_key"]:
        del signature["public_key"]
    return signature


def _input(batch: Batch, item: Item) -> bytes:
    """What is signed: nothing at all where a single request has no input, as Vault has it."""
    if batch.is_batch and "input" not in item.texts:
        raise Refusal(400, "missing input")
    return decode_input(item.text("input"))


def _mac_version(named: NamedKey, number: int) -> int:
    latest = named.key.latest_version
    if number == 0:
        return latest
    if number < 0:
        raise Refusal(400, "key version does not exist (cannot be negative)")
    if number > latest:
        raise Refusal(400, f"key version does not exist; latest key version is {latest}")
    if number < named.key.min_encryption_version:
        raise Refusal(400, "cannot generate HMAC: version is too old (disallowed by policy)")
    return number


def _is_mac(batch: Batch) -> bool:
    """Whether MACs are to be verified. Raises Refusal for a mixture, and for neither."""
    signed = ["signature" in item.texts for item in batch.items]
    maced = ["hmac" in item.texts for item in batch.items]
    if not batch.is_batch:
        if signed[0] and maced[0]:
            raise Refusal(400, "provide one of 'signature' or 'hmac'")
        if not signed[0] and not maced[0]:
            raise Refusal(400, "neither a 'signature' nor an 'hmac' were given to verify")
    elif any(signed) and any(maced):
        raise Refusal(400, "elements of batch_input must all provide 'signature' or all provide 'hmac'")
    elif any(signed) and not all(signed):
        raise Refusal(400, "some elements of batch_input are missing 'signature'")
    elif any(maced) and not all(maced):
        raise Refusal(400, "some elements of batch_input are missing 'hmac'")
    elif not any(signed) and not any(maced):
        raise Refusal(400, "no batch_input elements have 'signature' or 'hmac'")
    return maced[0]
