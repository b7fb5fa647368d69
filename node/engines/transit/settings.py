"""What is set for a whole mount: `cache-config`, `config/keys`.

Pure. There is no cache of keys here; the size is kept and shown, so that what configures it goes on working.
Source: Vault API, transit, "Configure cache", "Write keys configuration".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cluster import Draft

from ...request import Answer, Refusal
from ..base import Context, Plan
from ..entries import find, put
from ..fields import parameters, to_bool, to_int

if TYPE_CHECKING:
    from ...request import RawRequest
    from ..system.routes import Captures

KEYS_CONFIG = "config/keys"
CACHE_FIELDS = frozenset({"size"})
KEYS_FIELDS = frozenset({"disable_upsert"})
_CACHE_CONFIG = "config/cache"
_SIZE_MIN = 10


class KeysConfig(msgspec.Struct, array_like=True):
    """Whether `encrypt` makes no keys."""

    disable_upsert: bool = False


class CacheConfig(msgspec.Struct, array_like=True):
    """The size that was set."""

    size: int = 0


def read_cache(context: Context, _request: RawRequest, _captures: Captures) -> Answer:
    """The size that was set, 0 without."""
    found = find(context, _CACHE_CONFIG, CacheConfig)
    return Answer(data={"size": 0 if found is None else found.value.size})


def decide_cache(context: Context, request: RawRequest, _captures: Captures) -> Plan:
    """Another size."""
    size = to_int("size", parameters(request).get("size"))
    if size != 0 and size < _SIZE_MIN:
        raise Refusal(400, f"size must be 0 or a value greater or equal to {_SIZE_MIN}")
    draft = Draft()
    put(context, draft, _CACHE_CONFIG, CacheConfig(size), find(context, _CACHE_CONFIG, CacheConfig))
    return Plan(Answer(data={"size": size}), draft)


def read_keys(context: Context, _request: RawRequest, _captures: Captures) -> Answer:
    """Whether `encrypt` makes no keys."""
    found = find(context, KEYS_CONFIG, KeysConfig)
    return Answer(data={"disable_upsert": found is not None and found.value.disable_upsert})


def decide_keys(context: Context, request: RawRequest, _captures: Captures) -> Plan:
    """From now on `encrypt` makes keys, or does not."""
    given = parameters(request)
    found = find(context, KEYS_CONFIG, KeysConfig)
    disable = found is not None and found.value.disable_upsert
    if "disable_upsert" in given:
        disable = to_bool("disable_upsert", given["disable_upsert"])
    draft = Draft()
    put(context, draft, KEYS_CONFIG, KeysConfig(disable), found)
    return Plan(Answer(data={"disable_upsert": disable}), draft)
