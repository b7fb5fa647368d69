"""What the nodes' journals hold at the end of a run: which versions of the run's paths are in them, by index.

Asks the product's own `operator journal dump` of every node whose folder is there; no node runs. What stands in one log
may never have been committed, so there are two answers: `sure`, installed at or below the index whose digest the node
gave, or in a snapshot; and `maybe`, all else that a log holds. Touches the folders, by reading.

Invariants
  J1  a version is `sure` only if it took effect: a node had applied the entry
  J2  `complete` is said only if so many nodes were read whole that every majority has one of them: then what took
      effect for anybody is in `sure` or `maybe`
  J3  a path that was ever removed is left out: its versions began anew
Source: etcd, tests/robustness/validate/patch_history.go.
"""

from __future__ import annotations

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from .targets.node import STRONGROOM

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from .targets.base import Target

COMMAND_S: Final = 120.0
AT_ONCE: Final = 2
READABLE: Final = ("whole", "torn")
METADATA: Final = "secret"
VERSION: Final = "version"


@dataclass
class Held:
    """What one node's journal holds of the paths."""

    why_not: str = ""  # it could not be read, or not be believed
    sure: dict[str, dict[int, int]] = field(default_factory=dict)  # path → version → index, at or below which
    maybe: dict[str, dict[int, int]] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)


def searched(target: Target, paths: Collection[str], digests: Mapping[str, Any]) -> dict[str, Any]:
    """facts.journal; `paths` are those below the target's mount. No node runs."""

    def one(node: str) -> Held:
        at = digests.get(node)
        return held(_dump(target.data_dir(node), target.shares), target.mount, paths, at[0] if at else 0)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip(target.nodes, pool.map(one, target.nodes), strict=True))
    return merged(found, paths)


def _dump(folder: Path, shares: Iterable[str]) -> Iterable[dict[str, Any]]:
    """The lines that it printed; one that says why there are none."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("STRONGROOM_", "VAULT_"))}
    command = [str(STRONGROOM), "operator", "journal", "dump", "--data", str(folder), "--unseal-keys-file", "-"]
    try:
        ran = subprocess.run(  # noqa: S603 - the product
            command, capture_output=True, text=True, env=environ, timeout=COMMAND_S, check=False,
            input="\n".join(shares),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return [{"failed": f"the dump did not end within {COMMAND_S:g} s"}]
    if ran.returncode:
        said = (ran.stderr.strip().splitlines() or [f"it ended with {ran.returncode}"])[-1]
        return [{"failed": said[:200]}]
    return map(json.loads, ran.stdout.splitlines())


def held(lines: Iterable[Mapping[str, Any]], mount: str, paths: Collection[str], applied: int) -> Held:
    """Of a dump's lines; `applied`: an index that the node had applied, 0 if none is known. Pure."""
    found = Held(why_not="the dump has no end")
    first_why = ""
    for line in lines:
        if "failed" in line:
            return Held(why_not=line["failed"])
        if "format" in line:
            short = line["log"]["last"] < applied
            first_why = "its log is shorter than it was" if short else ""
            first_why = "it is recovering" if line["recovering"] else first_why
        elif "condition" in line:
            bad = "" if line["condition"] in READABLE else f"its folder is {line['condition']}"
            found.why_not = bad or first_why
        else:
            _take(found, line, mount, paths, applied)
    return found


def _take(found: Held, line: Mapping[str, Any], mount: str, paths: Collection[str], applied: int) -> None:
    if line["outcome"] in {"refused", "covered"}:
        return  # it changed nothing; or the snapshot has what became of it
    applied_here = line["outcome"] == "installed" and (line["kind"] == "snapshot" or line["index"] <= applied)
    for change in line["changes"]:
        path = change.get("path", "").removeprefix(f"{mount}/")
        if change["table"] not in {METADATA, VERSION} or path not in paths or "mount" in change:
            continue
        if change.get("drop"):
            found.removed |= {path} if change["table"] == METADATA else set()
            continue
        into = (found.sure if applied_here else found.maybe).setdefault(path, {})
        # Each version was made by one write: where the newest is 5, there were 5, though the first may be trimmed.
        first = 1 if change["table"] == METADATA else change["version"]
        for version in range(first, change["version"] + 1):
            into.setdefault(version, line["index"])


def merged(found: Mapping[str, Held], paths: Iterable[str]) -> dict[str, Any]:
    """Over all nodes (J1-J3). A node that cannot be believed says nothing. Pure."""
    read = [node for node, one in found.items() if not one.why_not]
    removed = set().union(*(found[node].removed for node in read))
    sure: dict[str, dict[int, int]] = {path: {} for path in sorted(paths) if path not in removed}
    maybe: dict[str, dict[int, int]] = {}
    for node in read:
        for path, versions in found[node].sure.items():
            for version, index in versions.items() if path in sure else ():
                sure[path][version] = min(index, sure[path].get(version, index))
    for node in read:
        for path, versions in found[node].maybe.items():
            for version, index in versions.items() if path in sure else ():
                if version not in sure[path]:
                    maybe.setdefault(path, {}).setdefault(version, index)
    return {
        "read": read,
        "unread": {node: one.why_not for node, one in found.items() if one.why_not},
        "complete": len(read) >= len(found) - len(found) // 2,
        "sure": _named(sure),
        "maybe": _named(maybe),
    }


def _named(found: Mapping[str, Mapping[int, int]]) -> dict[str, dict[str, int]]:
    """Versions as JSON names them."""
    return {path: {str(version): index for version, index in one.items()} for path, one in found.items()}
