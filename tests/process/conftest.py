"""Clusters of real processes for the tests of this folder; each is gone when its test ends, however it ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.harness import Cluster, make_cluster, running


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Three nodes of profile dev, one share, KV v2 at secret/."""
    with running(make_cluster(tmp_path)) as started:
        yield started
