"""What decides whether the OpenAPI document is kept: what is asked, and what must be seen; nothing is started here."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import openapi_check
from tests.conformance.hvac_suite import SuiteError
from tests.conformance.openapi_check import EXCLUDED, NEVER_2XX, asked, operations, unseen
from tests.plainyaml import load

WHOLE = load(openapi_check.YAML.read_text(encoding="utf-8"))
NEVER = set().union(*NEVER_2XX.values())


def seen_all(status: int = 200) -> list[tuple[str, int]]:
    return [(name, status if name not in NEVER else 400) for name in operations(asked(WHOLE, {}))]


def test_everything_is_asked_but_what_is_named():
    """Probes stand beside the API, and are asked by hand."""
    left_out = operations(WHOLE) - operations(asked(WHOLE, {}))

    assert left_out == set(EXCLUDED) | {f"GET {path}" for path in openapi_check.PROBES}


def test_what_is_named_is_in_the_document():
    """A name that is there no more would be a hole in the check."""
    assert NEVER - operations(WHOLE) == set()
    assert sum(len(names) for names in NEVER_2XX.values()) == len(NEVER)
    assert NEVER & set(EXCLUDED) == set()


def test_a_stale_exclusion_is_an_error():
    """The twin: an operation that was removed."""
    without = WHOLE | {"paths": {path: item for path, item in WHOLE["paths"].items() if path != "/sys/seal"}}

    with pytest.raises(SuiteError, match="POST /sys/seal is excluded"):
        asked(without, {})


@pytest.mark.parametrize("name", ["Unseal", "POST /sys/unseal"])
def test_an_example_means_what_exists(name: str):
    """In a body that operations share, or in the body of one of them; the document itself stays as it is."""
    before = json.dumps(WHOLE)
    whole: Any = asked(WHOLE, {name: {"key": "share"}})
    body = whole["paths"]["/sys/unseal"]["post"]["requestBody"]
    if name == "Unseal":
        body = openapi_check.resolved(whole, body)

    assert body["content"]["application/json"]["example"] == {"key": "share"}
    assert json.dumps(WHOLE) == before


def test_every_operation_must_have_succeeded_once():
    """Or its answer was never compared with its schema."""
    whole = asked(WHOLE, {})

    assert unseen(whole, seen_all()) == []
    assert unseen(whole, [one for one in seen_all() if one[0] != "GET /sys/mounts"]) == [
        "GET /sys/mounts was never answered with success"
    ]
    assert len(unseen(whole, seen_all(404))) == len(operations(whole) - NEVER)


def test_what_cannot_succeed_is_noticed_when_it_does():
    """The list of excuses gets shorter by itself."""
    name = "POST /sys/init"

    assert unseen(asked(WHOLE, {}), [*seen_all(), (name, 200)]) == [
        f"{name} was answered with success, and is in NEVER_2XX"
    ]


def test_every_package_is_pinned_by_hash():
    """Each requirement has a version and a SHA-256, and what is asked for is there in the version asked for."""
    text = openapi_check.REQUIREMENTS.read_text(encoding="utf-8")
    blocks = re.split(r"(?m)^(?=\w)", text)[1:]
    wanted = Path(str(openapi_check.REQUIREMENTS).replace(".txt", ".in")).read_text(encoding="utf-8")

    assert [block for block in blocks if not re.match(r"[\w.-]+==\S+ .*\n +--hash=sha256:[0-9a-f]{64}", block)] == []
    assert [line for line in wanted.splitlines() if "==" in line and f"\n{line} " not in f"\n{text}"] == []
