"""Body bytes → a checked Body.

Pure. Invariant: what leaves here decodes as one JSON object within the limits, or is empty; its bytes are the
client's own, so `12345678901234567890123` and `1.10` survive. No error text quotes the body.
Source: Vault API, "Input types"; the texts are Go's encoding/json, which clients show to people.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import msgspec

from ..request import Body, Operation
from .complexity import check_complexity
from .errors import BadRequestError, UnsupportedMediaError

if TYPE_CHECKING:
    from .limits import HttpLimits

FORM = "application/x-www-form-urlencoded"
MERGE_PATCH = "application/merge-patch+json"
QUOTABLE_TYPES = frozenset({
    "application/json", "application/json-patch+json", "application/octet-stream", "application/xml",
    "multipart/form-data", "text/html", "text/plain", "text/xml", FORM,
})  # fmt: skip
"""Types a refusal may repeat; anything else in that header could be a secret in the wrong place."""

SPACE = b" \t\r\n"
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+\-]+/[a-z0-9!#$&^_.+\-]+")
_GO_KINDS = {"[": "array", '"': "string", "t": "bool", "f": "bool", "-": "number"}
_PREFIX = "failed to decode JSON input: "


def media_type(content_type: str) -> str:
    """`type/subtype` in lower case without parameters; "" if the header holds no such thing."""
    found = content_type.partition(";")[0].strip().lower()
    return found if _MEDIA_TYPE.fullmatch(found) else ""


def check_content_type(operation: Operation, content_type: str, content_encoding: str) -> None:
    """Refuse compressed bodies, and a PATCH that is not declared a merge patch. Raises EdgeRefusal."""
    if content_encoding not in {"", "identity"}:
        raise UnsupportedMediaError("a request body must not be compressed")
    if operation is not Operation.PATCH:
        return
    found = media_type(content_type)
    if not found:
        raise BadRequestError("mime: no media type")
    if found != MERGE_PATCH:
        provided = found if found in QUOTABLE_TYPES else "another type"
        raise UnsupportedMediaError(f"PATCH requires Content-Type of {MERGE_PATCH}, provided {provided}")


def parse_body(raw: bytes, content_type: str, limits: HttpLimits) -> tuple[Body, bool]:
    """(body, whether it came as a form). Raises BadRequestError.

    Forms are taken as forms only if they do not look like JSON: `curl -d '{…}'` says form and sends JSON.
    """
    head = raw.lstrip(SPACE)[:1]
    if not head:
        return Body(), False
    if head not in {b"{", b"["} and media_type(content_type) == FORM:
        return _form(raw, limits), True
    return _json(raw, limits), False


def _form(raw: bytes, limits: HttpLimits) -> Body:
    try:
        text = raw.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=limits.json_strings)
    except ValueError:
        raise BadRequestError("failed to parse the form") from None
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return Body(msgspec.json.encode({name: v[0] if len(v) == 1 else v for name, v in fields.items()}))


def _json(raw: bytes, limits: HttpLimits) -> Body:
    check_complexity(raw, limits)
    try:
        values = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadRequestError(_PREFIX + _reason(raw, str(error))) from None
    except RecursionError:
        raise BadRequestError(_PREFIX + "exceeded max depth") from None
    if values is None:
        return Body()
    if not isinstance(values, dict):
        kind = _GO_KINDS.get(chr(raw.lstrip(SPACE)[0]), "number")
        raise BadRequestError(f"{_PREFIX}json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}")
    body = Body(raw)
    body._values = values
    return body


def _reason(raw: bytes, error: str) -> str:
    """Go's sentence for the faults people make; one letter of the body at most."""
    if "truncated" in error:
        return "unexpected EOF"
    if "Number out of range" in error:
        return "number out of range"
    if "trailing characters" in error and (match := re.search(r"byte (\d+)", error)):
        return _literal_fault(raw[int(match.group(1)) - 1 :].lstrip(SPACE)) or "invalid character after top-level value"
    return "invalid character"


def _literal_fault(rest: bytes) -> str:
    for word in (b"true", b"false", b"null"):
        if rest[:1] != word[:1]:
            continue
        for at in range(1, len(word)):
            letter = rest[at : at + 1]
            if letter.isalpha() and letter != word[at : at + 1]:
                return f"invalid character '{letter.decode()}' in literal {word.decode()} (expecting '{chr(word[at])}')"
    return ""
