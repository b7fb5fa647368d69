"""Running nodes, started once a session: one that leads alone, and three that are linked. Both audit to files."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.node.flow_site import Site, running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def one(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A cluster of one node."""
    async with running(tmp_path_factory.mktemp("one"), audited=True) as site:
        yield site


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def three(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A cluster of three nodes."""
    async with running(tmp_path_factory.mktemp("three"), 3, audited=True) as site:
        yield site
