"""Answers → bytes: the nine-key envelope, bare bodies, errors.

Pure. Byte formatting instead of a JSON tree: the value of a secret is spliced in as it came, and the envelope of a
GET costs a few microseconds. Every JSON body ends in exactly one newline.
Source: Vault API, "Response format" and "Errors"; Go encoding/json and go-multierror for the texts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ..request import Answer, RawJson, RawResponse, Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

ENVELOPE = (
    b'{"request_id":"%b","lease_id":%b,"renewable":%b,"lease_duration":%d,'
    b'"data":%b,"wrap_info":%b,"warnings":%b,"auth":%b}'
)
READ_ENVELOPE = (
    b'{"request_id":"%b","lease_id":"","renewable":false,"lease_duration":0,'
    b'"data":%b,"wrap_info":null,"warnings":null,"auth":null}\n'
)
NULL = b"null"
NO_LEASE = b'""'


def _splice(value: object) -> msgspec.Raw:
    if isinstance(value, RawJson):
        return msgspec.Raw(bytes(value))
    raise TypeError(f"no JSON form for {type(value).__name__}")


_encoder = msgspec.json.Encoder(enc_hook=_splice)


def json_bytes(value: Any) -> bytes:
    """JSON of a Python object; bytes are JSON already and stay as they are, RawJson also deep inside."""
    if value is None:
        return NULL
    if isinstance(value, bytes):
        return bytes(value)
    return _encoder.encode(value)


def envelope(request_id: str, answer: Answer, *, wrap_info: bytes | None = None) -> bytes:
    """The nine keys, always all of them. `wrap_info` is JSON text of that key."""
    data = json_bytes(answer.data)
    body = ENVELOPE % (
        request_id.encode("ascii"),
        json_bytes(answer.lease_id) if answer.lease_id else NO_LEASE,
        b"true" if answer.renewable else b"false",
        answer.lease_duration_s,
        data,
        wrap_info or NULL,
        json_bytes(answer.warnings) if answer.warnings else NULL,
        json_bytes(answer.auth) if answer.auth is not None else NULL,
    )
    return _inject(body, data) if answer.inject else body + b"\n"


def read_envelope(request_id: str, data: bytes) -> bytes:
    """As `envelope` of an answer that has `data` and nothing else."""
    return READ_ENVELOPE % (request_id.encode("ascii"), data)


def respond(request_id: str, answer: Answer, *, wrap_info: bytes | None = None) -> RawResponse:
    """The whole answer: raw, 204, bare or in the envelope."""
    if answer.raw is not None:
        return answer.raw
    if answer.wrap_info is not None:
        request_id, wrap_info = "", json_bytes(answer.wrap_info)
    if answer.empty and wrap_info is None:
        return RawResponse(204, headers=answer.headers)
    if answer.bare:
        return RawResponse(answer.status, json_bytes(answer.data) + b"\n", answer.headers)
    return RawResponse(answer.status, envelope(request_id, answer, wrap_info=wrap_info), answer.headers)


def errors_body(
    texts: Sequence[str],
    *,
    data: bytes | None = None,
    warnings: Sequence[str] | None = None,
    applied: str | None = None,
    write_id: str | None = None,
) -> bytes:
    """`{"errors":[…]}` and whatever else an error may carry, `data` as JSON text."""
    parts = [b'{"errors":%b' % _encoder.encode(list(texts))]
    if warnings:
        parts.append(b'"warnings":%b' % _encoder.encode(list(warnings)))
    if data is not None:
        parts.append(b'"data":%b' % data)
    if applied is not None:
        parts.append(b'"applied":%b' % _encoder.encode(applied))
    if write_id is not None:
        parts.append(b'"write_id":%b' % _encoder.encode(write_id))
    return b",".join(parts) + b"}\n"


def multierror(texts: Sequence[str]) -> str:
    """One text as Go's multierror prints it: what clients see where the core raised the error, not a backend."""
    count = "1 error" if len(texts) == 1 else f"{len(texts)} errors"
    return f"{count} occurred:\n" + "".join(f"\t* {text}\n" for text in texts) + "\n"


def refused(refusal: Refusal, *, applied: str | None = None, write_id: str | None = None) -> RawResponse:
    """The answer that a refusal is."""
    texts: Sequence[str] = refusal.texts
    if refusal.wrapped and texts:
        texts = [multierror(texts)]
    body = errors_body(texts, data=refusal.data, applied=applied or refusal.applied, write_id=write_id)
    headers = [] if refusal.retry_after_s is None else [("Retry-After", str(refusal.retry_after_s))]
    return RawResponse(refusal.status, body, headers)


def _inject(body: bytes, data: bytes) -> bytes:
    """Also put the keys of `data` at the top level, where old clients look; spliced, as Vault does it."""
    inner = data.strip()
    if not inner.startswith(b"{") or not (inner := inner[1:-1].strip()):
        return body + b"\n"
    return b"%b,%b}\n" % (body[:-1], inner)
