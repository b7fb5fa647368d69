"""The groups `operator` and `operator raft`: tables of their commands."""

from __future__ import annotations

from .parts import LazyGroup

operator = LazyGroup(
    "operator",
    help="Bring a cluster up, open and close it, and look after its members.",
    lazy={
        "init": ("operator_seal", "init", "make the keys of a new cluster, once"),
        "unseal": ("operator_seal", "unseal", "give one key, or several, to a sealed node"),
        "seal": ("operator_seal", "seal", "seal this node, or the whole cluster"),
        "step-down": ("operator_peers", "step_down", "make the leader hand over"),
        "raft": ("operator", "raft", "look at the members"),
        "adopt": ("operator_adopt", "adopt", "say that a restored cluster is the one from now on"),
        "recover": ("operator_recover", "recover", "go on from what survived the loss of a majority"),
        "certs": ("operator_peers", "certs", "make the node CA and node certificates"),
    },
    absent={
        "rekey": "is not available in this version; the keys of `operator init` stay valid",
        "generate-root": "is not available in this version; next: use a root token you still have",
    },
)

raft = LazyGroup(
    "raft",
    help="Look at the members of the cluster.",
    lazy={"list-peers": ("operator_peers", "list_peers", "list the members")},
)
