"""The library below Raft logs what it received, which may be anything: none of its records leaves the process."""

from __future__ import annotations

import logging

import pytest
from pysyncobj import dns_resolver, serializer, syncobj

import cluster.raft.chassis
from node.logs import configure

SECRET = "hvs.XYZZYxyzzyXYZZYxyzzyXYZZYxyz"
LOGGERS = (dns_resolver.logger, serializer.logger, syncobj.logger)


@pytest.fixture
def root():
    """The root logger, as it was before."""
    logger = logging.getLogger()
    before = (logger.level, list(logger.handlers))
    yield logger
    logger.setLevel(before[0])
    logger.handlers[:] = before[1]


@pytest.mark.parametrize("logger", LOGGERS, ids=lambda logger: logger.name)
@pytest.mark.parametrize("level", [logging.DEBUG, logging.ERROR, logging.CRITICAL])
def test_what_the_library_logs_is_not_written(root, capsys, logger, level):
    """At the lowest level that a node can be set to; a record of ours is."""
    configure("json", "debug", "n1")
    try:
        int(SECRET)
    except ValueError:
        logger.log(level, "received %r", SECRET, exc_info=True)
    logging.getLogger(cluster.raft.chassis.__name__).error("ours")

    written = capsys.readouterr().err
    assert SECRET not in written
    assert written.count("\n") == 1
