"""Clusters of real processes for the tests of this folder; each is gone when its test ends, however it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.process.harness import Cluster, make_cluster, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Three nodes of profile dev, one share, KV v2 at secret/."""
    with running(make_cluster(tmp_path)) as started:
        yield started
