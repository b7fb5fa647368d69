"""What requests to identity give: metadata, policies, ids, in their types and within their bounds.

Pure. Invariant: what these return may be stored. Where OpenBao answers 500 by accident, ours is a 400 of the same text.
Source: Vault API, "Identity"; OpenBao, identity store (validateMetadata).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...auth.typed_fields import shown, to_names, to_pairs, to_text
from ...policy import PolicyError, builtin
from ...request import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster import Entity, Group

    from ..fields import Given
    from ..system.routes import Captures

METADATA_PAIRS_MAX = 64
METADATA_KEY_BYTES_MAX = 128
METADATA_VALUE_BYTES_MAX = 512
POLICIES_MAX = 256
IDS_MAX = 500
_METADATA_KEY = re.compile(r"[a-zA-Z0-9=/+_-]+")
_RESERVED_PREFIX = "vault-"


def named(name: str, given: Mapping[str, Given], captures: Captures) -> str:
    """The text of a parameter that may stand in the path, too; the path counts. Raises FieldError."""
    return captures[name] if name in captures else to_text(name, given.get(name))


def check_id(id_: str, named: Entity | Group | None) -> None:
    """The id beside a name in the path is that of the name: who may write one name writes no other. Raises Refusal."""
    if named is None or named.id != id_:
        raise Refusal(400, "the id is not that of the name in the path")


def policies(given: Given) -> list[str]:
    """Names for an entity or group: normalised, root refused however it is spelt. Raises FieldError, Refusal."""
    try:
        names = builtin.identity_names(to_names("policies", given))
    except PolicyError as error:
        raise Refusal(400, str(error)) from None
    if len(names) > POLICIES_MAX:
        raise Refusal(400, f"policies cannot contain more than {POLICIES_MAX} names")
    return list(names)


def ids(name: str, given: Given) -> list[str]:
    """Ids, each once, in the order given. Raises FieldError, Refusal."""
    found = list(dict.fromkeys(to_names(name, given)))
    if len(found) > IDS_MAX:
        raise Refusal(400, f"{name} cannot contain more than {IDS_MAX} ids at once")
    return found


def metadata(given: Given, what: str) -> dict[str, str] | None:
    """Metadata of an entity or group; None: none. Raises FieldError, Refusal."""
    pairs = to_pairs("metadata", given)
    problem = ""
    if len(pairs) > METADATA_PAIRS_MAX:
        problem = f"metadata cannot contain more than {METADATA_PAIRS_MAX} key/value pairs"
    for key, value in pairs.items():
        if not problem and (why := _pair_problem(key, value)):
            problem = f'failed to load metadata pair ("{shown(key)}"): {why}'  # values are not repeated
    if problem:
        raise Refusal(400, f"invalid {what} metadata: {problem}", wrapped=True)
    return pairs or None


def _pair_problem(key: str, value: str) -> str:
    if not key:
        return "key cannot be blank"
    if _METADATA_KEY.fullmatch(key) is None:
        return "key contains invalid characters"
    if len(key) > METADATA_KEY_BYTES_MAX:
        return f"key is too long (limit: {METADATA_KEY_BYTES_MAX} characters)"
    if key.startswith(_RESERVED_PREFIX):
        return f'key prefix "{_RESERVED_PREFIX}" is reserved for internal use'
    if len(value.encode(errors="surrogatepass")) > METADATA_VALUE_BYTES_MAX:
        return f"value is too long (limit: {METADATA_VALUE_BYTES_MAX} characters)"
    return ""
