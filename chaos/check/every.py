"""All checkers by name, and a run judged by some of them, in the order in which a reader should hear of it.

Whether the run was a run at all comes first (logs, rates), and is always asked: a dead cluster must not look green.
Then linearizability, which explains most of what else may be found, then the rest.
Invariant: a checker that fails says unknown, with the kind of failure; it never hides another's verdict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .acked import Acked
from .appends import Appends
from .audit import Audit
from .backup import Backup
from .base import Checker, Verdict, merged, unknown
from .converge import Converge
from .live import Live
from .logs import Logs
from .origin import Origin
from .plaintext import Plaintext
from .policies import Policies
from .rates import Rates
from .recover import Recover
from .revocation import Revocation
from .session import Session
from .sets import Sets
from .single_use import SingleUse
from .wgl import Wgl
from .witness import Witness

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chaos.folder import RunFolder

IN_ORDER: Final[tuple[Checker, ...]] = (
    Logs(), Rates(), Witness(), Wgl(), Acked(), Session(), Sets(), Appends(), Revocation(), SingleUse(), Policies(),
    Origin(), Audit(), Plaintext(), Converge(), Live(), Recover(), Backup(),
)  # fmt: skip
CHECKERS: Final[dict[str, Checker]] = {checker.name: checker for checker in IN_ORDER}
ALWAYS: Final = ("logs", "rates")
EXIT_CODES: Final = {"held": 0, "violated": 1, "unknown": 2, "skipped": 2}


class UnknownCheckerError(Exception):
    """Nothing is called so; the sentence lists what is."""


def judge(run: RunFolder, names: Iterable[str]) -> list[Verdict]:
    """What these checkers, and those that are always asked, say of the run. Raises UnknownCheckerError."""
    wanted = {*ALWAYS, *names}
    for name in sorted(wanted):
        if name not in CHECKERS:
            raise UnknownCheckerError(f"no checker is called {name}; there are {', '.join(CHECKERS)}")
    return [_asked(checker, run) for checker in IN_ORDER if checker.name in wanted]


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """0: held; 1: violated; 2: unknown."""
    return EXIT_CODES[merged(verdicts)]


def _asked(checker: Checker, run: RunFolder) -> Verdict:
    try:
        return checker.check(run)
    except Exception as error:  # noqa: BLE001 - a history it cannot read; the others are asked all the same
        return unknown(checker, f"the checker failed: {type(error).__name__}: {error}")
