"""The table of commands. Importing this file imports click and nothing else of weight."""

from __future__ import annotations

from .parts import Root

_NOT_HERE = "is not available in this version"

root = Root(
    "strongroom",
    help="Keep secrets in a replicated store that speaks Vault's HTTP API.",
    lazy={
        "kv": ("kv", "kv", "read and write secrets"),
        "status": ("status", "status", "what this node is, who leads, what is wrong and what to do"),
        "health": ("status", "health", "exit 0 if the node is healthy; for health checks"),
        "operator": ("operator", "operator", "init, unseal, seal, step down, peers, certificates"),
        "policy": ("policy", "policy", "read and write policies"),
        "token": ("token", "token", "create, look up, renew and revoke tokens"),
        "secrets": ("secrets_engines", "secrets", "list, enable, disable and tune secret engines"),
        "audit": ("audit", "audit", "list, enable and disable audit devices"),
        "backup": ("backup", "backup", "list, verify, restore, copy and prune backups"),
        "config": ("configuration", "config", "show, validate and explain the configuration of a server"),
        "server": ("server", "server", "run one node"),
        "dev": ("dev", "dev", "run a whole cluster on this machine"),
        "version": ("version", "version", "print the version"),
    },
    absent={
        "transit": f"{_NOT_HERE}; next: `strongroom secrets list` names the engines there are",
        "auth": f"{_NOT_HERE}; next: `strongroom token create` makes tokens",
        "login": f"{_NOT_HERE}; next: put a token into STRONGROOM_TOKEN",
    },
)
