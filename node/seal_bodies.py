"""The JSON bodies of init and unseal: each field has its type, and a wrong one is refused in Vault's words.

Pure. These paths are answered before there is any engine, and Vault decodes them into Go structs: field names are
matched without regard to case, null is the zero value, unknown fields are ignored. Invariant: no sentence holds a
value, which could be a share. Source: Vault API, sys/init and sys/unseal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .request import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

INIT_FIELDS: Mapping[str, tuple[str, Any]] = {
    "secret_shares": ("InitRequest.secret_shares", 0),
    "secret_threshold": ("InitRequest.secret_threshold", 0),
    "pgp_keys": ("InitRequest.pgp_keys", []),
    "recovery_shares": ("InitRequest.recovery_shares", 0),
    "recovery_threshold": ("InitRequest.recovery_threshold", 0),
    "recovery_pgp_keys": ("InitRequest.recovery_pgp_keys", []),
    "root_token_pgp_key": ("InitRequest.root_token_pgp_key", ""),
}
UNSEAL_FIELDS: Mapping[str, tuple[str, Any]] = {
    "key": ("UnsealRequest.Key", ""),
    "reset": ("UnsealRequest.Reset", False),
    "migrate": ("UnsealRequest.Migrate", False),
}
_GO_TYPES: Mapping[type, str] = {int: "int", str: "string", bool: "bool", list: "[]string"}
_JSON_KINDS: Mapping[type, str] = {
    int: "number",
    float: "number",
    str: "string",
    bool: "bool",
    list: "array",
    dict: "object",
}


def typed(body: Mapping[str, Any], fields: Mapping[str, tuple[str, Any]]) -> dict[str, Any]:
    """Every field of `fields` with its value or its zero value. Raises Refusal(400) for a wrong type."""
    found = {name: zero for name, (_, zero) in fields.items()}
    for given, value in body.items():
        name = given.lower()
        if name not in fields or value is None:
            continue
        go_name, zero = fields[name]
        if type(value) is not type(zero):
            raise _mismatch(value, go_name, _GO_TYPES[type(zero)])
        if isinstance(value, list):
            for element in value:
                if not isinstance(element, str):
                    raise _mismatch(element, go_name, "string")
        found[name] = value
    return found


def _mismatch(value: object, go_name: str, go_type: str) -> Refusal:
    kind = _JSON_KINDS.get(type(value), "null")
    return Refusal(
        400,
        f"failed to decode JSON input: json: cannot unmarshal {kind} into Go struct field {go_name} of type {go_type}",
    )
