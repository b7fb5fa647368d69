"""Running a node as a process: signals, reload, the exit code. The wiring is service.py's."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import TYPE_CHECKING

from cluster import (
    DamagedError,
    DamagedKeyringError,
    FailpointError,
    FolderError,
    ShimRefusedError,
    SinkRefusedError,
)

from . import garbage
from .logs import configure
from .service import Node

if TYPE_CHECKING:
    from collections.abc import Callable

    from .config import Config

log = logging.getLogger("strongroom.node")

DAMAGED_NEXT = (
    "move the folder away and start with an empty one, which the other members fill (only one member at a time may be"
    " emptied: wait until it is whole); if there is no other member, restore a backup"
)


def serve(config: Config, read_again: Callable[[], Config] | None = None) -> int:
    """Run until SIGTERM or SIGINT; the exit code. SIGHUP takes what can change from `read_again`."""
    import uvloop

    configure(config.log.format, config.log.level, config.node.id)
    _die_with_parent()
    return uvloop.run(_serve(config, read_again))


def _reload(node: Node, read_again: Callable[[], Config]) -> None:
    try:
        config = read_again()
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the node goes on as it was
        log.error("the configuration was not reloaded: %s", error)  # noqa: TRY400 - a sentence for the operator
        node.security.record("configuration refused", why=type(error).__name__)
        return
    node.reload(config)


def _again(stopping: asyncio.Event) -> None:
    if stopping.is_set():
        os._exit(130)
    stopping.set()


def _die_with_parent() -> None:
    """A node that `strongroom dev` started ends when it does, even if it is killed."""
    parent = os.environ.get("STRONGROOM_PARENT")
    if parent is None:
        return
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    if os.getppid() != int(parent):
        os._exit(0)


async def _serve(config: Config, read_again: Callable[[], Config] | None) -> int:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        node = Node(config)
        garbage.keep(node)
        await node.start()
    except DamagedKeyringError as error:  # which says itself what is next: the rest of the folder is worth keeping
        log.critical("the node cannot start: %s: %s", config.node.data_dir, error)
        return 1
    except DamagedError as error:
        log.critical("the node cannot start: %s: %s: %s", config.node.data_dir, error, DAMAGED_NEXT)
        return 1
    except (OSError, FailpointError, FolderError, ShimRefusedError, SinkRefusedError) as error:
        log.critical("the node cannot start: %s", error)
        return 1
    if read_again is not None:
        loop.add_signal_handler(signal.SIGHUP, _reload, node, read_again)
    for number in (signal.SIGTERM, signal.SIGINT):  # the second one does not wait
        loop.add_signal_handler(number, _again, stopping)
    await stopping.wait()
    log.info("the node stops")
    await node.stop()
    return 0


__all__ = ["Node", "serve"]
