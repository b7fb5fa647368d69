"""Running nodes, started once a session: one that leads alone, and three that are linked. Both audit to files."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.node.flow_site import Site, running

FROZEN_S = 0.1


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _one(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with running(tmp_path_factory.mktemp("one"), audited=True) as site:
        yield site


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _three(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with running(tmp_path_factory.mktemp("three"), 3, audited=True) as site:
        yield site


@pytest_asyncio.fixture(loop_scope="session")
async def one(_one: Site) -> AsyncIterator[Site]:
    """A cluster of one node."""
    async for site in _serving(_one):
        yield site


@pytest_asyncio.fixture(loop_scope="session")
async def three(_three: Site) -> AsyncIterator[Site]:
    """A cluster of three nodes."""
    async for site in _serving(_three):
        yield site


async def _serving(site: Site) -> AsyncIterator[Site]:
    """While a test of another loop ran, these nodes stood still, and have to find each other again."""
    if time.monotonic() - site.used_s > FROZEN_S:
        await site.settled()
    yield site
    site.used_s = time.monotonic()
