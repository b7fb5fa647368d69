"""The description of the HTTP API that every node serves: openapi.yaml, as JSON, in one line.

Reads one file of the program itself, once. openapi.json is written from openapi.yaml, which people write and read, by
tests/node/http/test_openapi.py: the program has no reader of YAML. Source: OpenAPI 3.1; Vault API,
"sys/internal/specs/openapi".
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import orjson

DOCUMENT = Path(__file__).with_name("openapi.json")
OUR_OWN = ("servers", "security", "tags")  # what Vault's document does not have at its top


@cache
def document() -> bytes:
    """The document as nodes serve it: in the form that Vault's has. Raises OSError if the program is not whole."""
    whole: dict[str, Any] = orjson.loads(DOCUMENT.read_bytes())
    return orjson.dumps({name: part for name, part in whole.items() if name not in OUR_OWN})
