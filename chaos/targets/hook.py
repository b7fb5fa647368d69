"""The command of a cluster's owner that breaks and heals it. Runs that command; knows nothing of what it does.

    HOOK abilities                   prints the faults that it can do, separated by white space
    HOOK inject FAULT NODE…          breaks these nodes
    HOOK heal   FAULT NODE…          mends them; may be called twice, and without `inject`

Exit code 0 is done. Each may print one line of JSON, an object that becomes part of what the history says of the fault;
`"took_effect": false` in it says that nothing happened. CHAOS_NODES holds {"node": "URL"}. A hook that knows no
`abilities` (it ends with another code) is asked for everything.

Invariants
  HK1  the hook runs in a session of its own: Ctrl-C of a terminal does not end a healing that is under way
  HK2  no token is given to it, neither as a word nor in its environment
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any, Final

from .base import TargetError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HOOK_S: Final = 180.0  # a rolling restart is one call
HEAL_TRIES: Final = 3
PAUSE_S: Final = 1.0
SECRETS: Final = ("STRONGROOM_TOKEN", "VAULT_TOKEN")
RESERVED: Final = ("fault", "nodes", "leader", "write_gap_s")  # the history's own words


class Hook:
    """See the module's paragraph. Raises TargetError if the command is no command."""

    def __init__(self, command: str, timeout_s: float = HOOK_S, pause_s: float = PAUSE_S) -> None:
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise TargetError(f"the hook is no command: {error}") from error
        if not self._words:
            raise TargetError("the hook is no command: it is empty")
        self._timeout_s = timeout_s
        self._pause_s = pause_s

    def abilities(self, urls: Mapping[str, str]) -> frozenset[str] | None:
        """The faults that it can do; None if it does not say. Raises TargetError if it cannot be run."""
        code, said = self._run(["abilities"], urls)
        return frozenset(said.split()) if code == 0 else None

    def inject(self, fault: str, nodes: Sequence[str], urls: Mapping[str, str]) -> dict[str, Any]:
        """What it says of the fault; `took_effect` is true unless it says otherwise. Raises TargetError."""
        return {"took_effect": True, **self._done("inject", fault, nodes, urls)}

    def heal(self, fault: str, nodes: Sequence[str], urls: Mapping[str, str]) -> dict[str, Any]:
        """What it says; it is asked again if it fails. Raises TargetError if it fails each time."""
        for left in reversed(range(HEAL_TRIES)):
            try:
                return self._done("heal", fault, nodes, urls)
            except TargetError:
                if not left:
                    raise
                time.sleep(self._pause_s)
        return {}

    def _done(self, action: str, fault: str, nodes: Sequence[str], urls: Mapping[str, str]) -> dict[str, Any]:
        code, said = self._run([action, fault, *nodes], urls)
        if code != 0:
            raise TargetError(f"the hook's {action} {fault} {' '.join(nodes)} ended with {code}")
        return facts_of(said)

    def _run(self, words: list[str], urls: Mapping[str, str]) -> tuple[int, str]:
        clean = {name: value for name, value in os.environ.items() if name not in SECRETS}
        try:
            process = subprocess.Popen(  # noqa: S603 - what the owner of the cluster asked for
                [*self._words, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                env=clean | {"CHAOS_NODES": json.dumps(dict(urls))}, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise TargetError(f"the hook {self._words[0]} cannot be run: {error.strerror}") from error
        try:
            said, _ = process.communicate(timeout=self._timeout_s)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise TargetError(f"the hook's {' '.join(words)} took longer than {self._timeout_s:g} s") from None
        return process.returncode, said


def facts_of(said: str) -> dict[str, Any]:
    """The last line that is an object of JSON, {} if none is."""
    for line in reversed(said.splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            return {name: value for name, value in found.items() if name not in RESERVED}
    return {}
