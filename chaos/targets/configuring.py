"""The configuration file of a node, from what a scenario says of the cluster."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

CLUSTER_NAME: Final = "chaos"
SEGMENT_BYTES: Final = 1 << 20  # small, so that segments end, and are cut, within a run


def sections_of(
    *, node_id: str, data: Path, api: str, advertise: str, peer: str, certs: Path, audit: Path
) -> dict[str, dict[str, Any]]:
    """What every target's node needs, before the scenario's own sections."""
    return {
        "node": {"id": node_id, "cluster_name": CLUSTER_NAME, "data_dir": str(data)},
        "api": {"address": api, "advertise": advertise, "tls": "off"},
        "peer": {
            "address": peer,
            "tls_cert_file": str(certs / f"{node_id}.pem"),
            "tls_key_file": str(certs / f"{node_id}.key"),
            "tls_ca_file": str(certs / "ca.pem"),
        },
        "journal": {"segment_bytes": SEGMENT_BYTES},
        "seal": {"type": "shamir", "peers": False},
        "audit": {"directory": str(audit)},
        "log": {"format": "json", "level": "info"},
    }


def text_of(
    sections: Mapping[str, Mapping[str, Any]], own: Mapping[str, Mapping[str, Any]],
    members: Iterable[Mapping[str, str]],
    sinks: Iterable[Mapping[str, Any]] = (), profile: str = "dev",
) -> str:
    """TOML; `own` are the scenario's, key by key over `sections`."""
    merged = {name: dict(values) for name, values in sections.items()}
    for name, values in own.items():
        merged.setdefault(name, {}).update(values)
    lines = [f'profile = "{profile}"']
    for name, values in merged.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        if name == "peer":
            lines.append(f"members = [{', '.join(map(_inline, members))}]")
    for sink in sinks:
        lines += ["[[backup.sinks]]", *(f"{key} = {json.dumps(value)}" for key, value in sink.items())]
    return "\n".join(lines) + "\n"


def _inline(one: Mapping[str, str]) -> str:
    return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in one.items()) + " }"
