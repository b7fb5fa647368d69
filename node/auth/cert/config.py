"""The configuration of a cert mount.

Pure. Invariant: a token is renewed only with the certificate it was made for; `disable_binding`, which would change
that, is refused (CVE-2026-39388; docs/threat-model.md).
Source: Vault API, "TLS certificates: configure TLS certificate method".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cluster import Draft

from ...engines.base import Context, Plan
from ...engines.entries import find, put
from ...engines.fields import parameters, to_bool
from ...request import Answer, RawRequest, Refusal

if TYPE_CHECKING:
    from ...engines.system.routes import Captures

NAME = "config"
FIELDS = frozenset({"disable_binding", "enable_identity_alias_metadata"})


class CertConfig(msgspec.Struct, array_like=True):
    """New fields go at the end, with a default."""

    enable_identity_alias_metadata: bool = False


def known(context: Context) -> CertConfig:
    """The configuration, or what it is without one."""
    found = find(context, NAME, CertConfig)
    return CertConfig() if found is None else found.value


def read_config(context: Context, _request: RawRequest, _captures: Captures) -> Answer:
    """The configuration, or what it is without one."""
    config = known(context)
    return Answer(
        data={
            "disable_binding": False,
            "enable_identity_alias_metadata": config.enable_identity_alias_metadata,
        }
    )


def decide_config(context: Context, request: RawRequest, _captures: Captures) -> Plan:
    """What is given changes."""
    given = parameters(request)
    if "disable_binding" in given and to_bool("disable_binding", given["disable_binding"]):
        raise Refusal(400, "disable_binding is not supported: a renewal needs the certificate of the login")
    before = find(context, NAME, CertConfig)
    config = CertConfig() if before is None else msgspec.structs.replace(before.value)
    if "enable_identity_alias_metadata" in given:
        config.enable_identity_alias_metadata = to_bool(
            "enable_identity_alias_metadata", given["enable_identity_alias_metadata"]
        )
    draft = Draft()
    if before is None or before.value != config:
        put(context, draft, NAME, config, before)
    return Plan(Answer(), draft)
