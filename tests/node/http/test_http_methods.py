"""Methods, verbs and their operations over a real socket."""

from __future__ import annotations

import pytest

from .conftest import HOST, Serve

OPERATIONS = [
    (b"GET", b"/v1/a", "read", "a"),
    (b"LIST", b"/v1/a", "list", "a/"),
]


@pytest.mark.parametrize(("method", "target", "operation", "path"), OPERATIONS)
async def test_a_method_becomes_its_operation(serve: Serve, method, target, operation, path):
    """Verb and query decide the operation."""
    site = await serve()

    reply = await site.get(target, method=method)

    assert reply.json["data"] == {"operation": operation, "path": path}
