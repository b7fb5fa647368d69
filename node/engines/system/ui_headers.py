"""Headers of answers to a user interface in a browser: sys/config/ui/headers.

Pure. Invariant: what protects a browser is not among them: the content security policy, nosniff, who may frame a page,
transport security and everything of the product's own are the server's alone.
Source: Vault API, "sys/config/ui/headers"; docs/threat-model.md, "HTTP edge".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cluster import Draft

from ...auth.typed_fields import to_names, to_text
from ...request import Answer, RawRequest, Refusal
from .. import entries
from ..base import Context, Plan
from ..fields import parameters, to_bool
from ..json_values import Kind, kind_of
from .header_names import check_value, header_name

if TYPE_CHECKING:
    from ..fields import Given
    from .routes import Captures

FIELDS = frozenset({"values", "multivalue"})
HEADERS_MAX = 64
VALUES_MAX = 16
FIXED = frozenset(
    {
        "content-security-policy",
        "content-security-policy-report-only",
        "cross-origin-embedder-policy",
        "cross-origin-opener-policy",
        "cross-origin-resource-policy",
        "permissions-policy",
        "referrer-policy",
        "strict-transport-security",
        "x-content-type-options",
        "x-frame-options",
    }
)
"""What protects the browser: nobody's to change."""
_OF_THE_MESSAGE = frozenset(
    {"cache-control", "connection", "content-length", "content-type", "date", "location", "retry-after", "set-cookie",
     "transfer-encoding"}
)  # fmt: skip
_STORED = "config/ui/headers"


class UiHeaders(msgspec.Struct, array_like=True):
    """Name in lower case → values."""

    headers: dict[str, list[str]] = {}


def read_list(context: Context, _request: RawRequest, _captures: Captures) -> Answer:
    """The names; 404 without any."""
    headers = _stored(context)
    if not headers:
        raise Refusal(404)
    return Answer(data={"keys": sorted(headers)})


def read_header(context: Context, request: RawRequest, captures: Captures) -> Answer:
    """The first value, or all of them if `multivalue` is asked for."""
    values = _stored(context).get(captures["header"].lower())
    if not values:
        raise Refusal(404)
    given = parameters(request)
    if "multivalue" in given and to_bool("multivalue", given["multivalue"]):
        return Answer(data={"values": values})
    return Answer(data={"value": values[0]})


def decide_header(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """The header has these values."""
    values = _texts(parameters(request).get("values"))
    if not values:
        raise Refusal(400, "header and values must be specified")
    name = header_name(captures["header"])
    if name.startswith(("x-vault-", "x-strongroom-")):
        raise Refusal(400, "X-Vault headers cannot be set")
    if name in FIXED:
        raise Refusal(400, f"{name} protects the browser and cannot be changed")
    if name in _OF_THE_MESSAGE or name.startswith("access-control-"):
        raise Refusal(400, f"{name} is the server's own and cannot be set")
    for value in values:
        check_value(value)
    found = entries.find(context, _STORED, UiHeaders)
    headers = {} if found is None else found.value.headers
    if len(values) > VALUES_MAX or (name not in headers and len(headers) >= HEADERS_MAX):
        raise Refusal(400, f"there may be {HEADERS_MAX} headers with {VALUES_MAX} values each")
    draft = Draft()
    entries.put(context, draft, _STORED, UiHeaders({**headers, name: values}), found)
    return Plan(Answer(), draft)


def decide_delete(context: Context, _request: RawRequest, captures: Captures) -> Plan:
    """The header is as it was before it was set; 204 also where it was not."""
    draft = Draft()
    found = entries.find(context, _STORED, UiHeaders)
    name = captures["header"].lower()
    if found is not None and name in found.value.headers:
        rest = {other: values for other, values in found.value.headers.items() if other != name}
        entries.put(context, draft, _STORED, UiHeaders(rest), found)
    return Plan(Answer(), draft)


def _stored(context: Context) -> dict[str, list[str]]:
    found = entries.find(context, _STORED, UiHeaders)
    return {} if found is None else found.value.headers


def _texts(given: Given | None) -> list[str]:
    """A list as it is, a single text as one value: a comma is a part of it."""
    if given is not None and not isinstance(given, str) and kind_of(bytes(given)) is Kind.LIST:
        return to_names("values", given)
    text = to_text("values", given)
    return [text] if text else []
