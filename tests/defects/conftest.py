"""The library's globals, given back to it for one test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.defects.stock import World

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A clock, randomness and no sockets for unmodified nodes."""
    world = World()
    world.take_over(monkeypatch)
    yield world
    world.close()
