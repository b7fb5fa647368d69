"""The groups `operator`, `operator raft`, `operator raft snapshot` and `operator journal`: tables of their commands."""

from __future__ import annotations

from .parts import LazyGroup

operator = LazyGroup(
    "operator",
    help="Bring a cluster up, open and close it, and look after its members.",
    lazy={
        "init": ("operator_seal", "init", "make the keys of a new cluster, once"),
        "unseal": ("operator_seal", "unseal", "give one key, or several, to a sealed node"),
        "seal": ("operator_seal", "seal", "seal this node, or the whole cluster"),
        "rotate": ("operator_keys", "rotate", "seal what comes with a new key term"),
        "key-status": ("operator_keys", "key_status", "say which key term seals, and since when"),
        "rekey": ("operator_keys", "rekey", "make new keys and a new root key"),
        "generate-root": ("operator_keys", "generate_root", "make a root token from a threshold of keys"),
        "step-down": ("operator_peers", "step_down", "make the leader hand over"),
        "raft": ("operator", "raft", "look at the members"),
        "adopt": ("operator_adopt", "adopt", "say that a restored cluster is the one from now on"),
        "recover": ("operator_recover", "recover", "go on from what survived the loss of a majority"),
        "journal": ("operator", "journal", "look into the log of a node that is stopped"),
        "certs": ("operator_peers", "certs", "make the node CA and node certificates"),
    },
)

raft = LazyGroup(
    "raft",
    help="Look at the members of the cluster, save its state, and put it back.",
    lazy={
        "list-peers": ("operator_peers", "list_peers", "list the members"),
        "snapshot": ("operator", "snapshot", "save the state as one sealed file, and put one back"),
    },
)

snapshot = LazyGroup(
    "snapshot",
    help="Save the state of the cluster as one sealed file, and put one back.",
    lazy={
        "save": ("operator_snapshot", "save", "save it to a new file"),
        "restore": ("operator_snapshot", "restore", "put the secrets of a saved one back, in place"),
    },
)

journal = LazyGroup(
    "journal",
    help="Look into the log of a node that is stopped.",
    lazy={
        "dump": ("operator_journal", "dump", "say which records each entry changes, without their values"),
    },
)
