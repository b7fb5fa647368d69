"""In which form certificates and keys are answered.

Pure. Source: Vault API, "PKI" (format, private_key_format).
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from ...auth.typed_fields import to_text
from ...request import Refusal
from . import keys
from .authority import pem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..fields import Given


def forms_of(given: Mapping[str, Given]) -> tuple[str, str]:
    """(form of certificates, form of the private key) as asked for. Raises Refusal with Vault's texts."""
    form = to_text("format", given.get("format")) or "pem"
    if form not in keys.FORMATS:
        raise Refusal(400, 'the "format" path parameter must be "pem", "der", or "pem_bundle"')
    key_form = to_text("private_key_format", given.get("private_key_format")) or "der"
    if key_form == "pem":
        key_form = "der"  # an alias, as in Vault
    if key_form not in keys.KEY_FORMATS:
        raise Refusal(400, 'the "private_key_format" path parameter must be "der" or "pkcs8"')
    return form, key_form


def shown_certificate(der: bytes, form: str) -> str:
    """PEM, or base64 of DER."""
    return base64.b64encode(der).decode() if form == "der" else pem(der)
