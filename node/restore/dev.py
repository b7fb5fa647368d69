"""`strongroom dev -restore`: all folders of a dev cluster at once, from its own backup and with its own key."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from cluster import StrongroomError

from .. import config as configuration
from .jobs import Asked, restored
from .keys import Keys
from .places import Place
from .wanted import of_config

if TYPE_CHECKING:
    from pathlib import Path


class RestoreDevError(Exception):
    """The cluster does not come back; the text says why and what to do."""


def restore_dev(url: str, folders: dict[str, Path], configs: dict[str, Path], keys: list[str]) -> dict[str, Any]:
    """The folders, of which none may be a member's, are those of a cluster with the newest state. See `restored`.

    Nobody but the sink says how far it reaches: in dev that is enough. Raises RestoreDevError.
    """
    name = next(iter(configs))
    loaded = configuration.load([configs[name]], {})
    if loaded.problems:
        raise RestoreDevError(f"the configuration of {name} cannot be served: {loaded.problems[0]}")
    try:
        wanted = of_config(loaded.config)._replace(folders=list(folders.values()))
        return asyncio.run(restored([Place(url, name="dev")], wanted, Asked(unwitnessed=True, unled=True), Keys(keys)))
    except StrongroomError as error:
        raise RestoreDevError(f"{error}\nnext: start without --restore, if the nodes' folders are there") from None
