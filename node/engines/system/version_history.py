"""Which version serves, since when; and the namespaces, of which there is one.

Pure; any node answers. Source: Vault API, "sys/version-history", "sys/namespaces".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import Config, Table, look

from ...request import Answer, RawRequest, Refusal
from ...version import BUILD_DATE, VAULT_VERSION
from ..instants import rfc3339

if TYPE_CHECKING:
    from ..base import Context
    from .routes import Captures


def read_versions(context: Context, _request: RawRequest, _captures: Captures) -> Answer:
    """The level of the API that clients gate features on, since the cluster exists; earlier ones are not recorded."""
    found = look(context.view, Table.CONFIG, Config, b"cluster")
    installed = rfc3339(found[1].created_ns) if found is not None and found[1].created_ns else BUILD_DATE
    info = {"build_date": BUILD_DATE, "previous_version": None, "timestamp_installed": installed}
    return Answer(data={"keys": [VAULT_VERSION], "key_info": {VAULT_VERSION: info}})


def read_namespaces(_context: Context, _request: RawRequest, _captures: Captures) -> Answer:
    """There is none beside the root, which is not listed: an empty list, and so 404."""
    raise Refusal(404)
