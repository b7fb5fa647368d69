"""Every known defect of PySyncObj 0.3.17, and the tests that show it in the library and its absence in ours.

S: safety; L: liveness and robustness; A: found besides. A test belongs to the defect that its name names:
`test_stock_s1_…` and `test_ours_s1_…`. `python -m tests.defects.table` prints the table as markdown.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
MODULES = ("test_safety_defects.py", "test_liveness_defects.py")

DEFECTS = {
    "S1": "a snapshot under way commits the follower's own entries: divergence, success reported for lost writes",
    "S2": "a repeated append cuts what was acknowledged, and acknowledgements cause repetitions",
    "S3": "an acknowledgement of an earlier term counts",
    "S4": "a snapshot that did not arrive whole is acknowledged, and replaces the good one",
    "S5": "a command is applied again when its callback fails",
    "S6": "the journal loses its tail at a restart and inside a compaction, and nothing is ever synced",
    "S7": "membership changes overlap",
    "S8": "the code version is lost with a dump; an unknown one makes entries be applied again",
    "S9": "a restart without a journal forgets votes and acknowledged entries, and votes at once",
    "S10": "a journal without a dump file restarts empty, leads, and answers nothing",
    "L1": "a divergent follower more than a batch behind never converges",
    "L2": "a command that raises is applied for ever and silences its leader, one leader after the other",
    "L3": "a node that returns deposes a healthy leader",
    "L4": "a leader without followers stays one for 30 s; its callbacks never run",
    "L5": "compaction of a log that was cut meanwhile leaves an empty one: every tick raises",
    "L6": "a follower that needs a dump under way is sent empty messages for a whole period",
    "L7": "an entry just below a multiple of the batch size ends twice and does not load",
    "L8": "a node whose dump does not load starts empty, votes and leads",
    "L9": "all members dump at once, inside the tick",
    "L10": "diverging logs meet one index per heartbeat",
    "L11": "names are resolved inside the tick",
    "L12": "what waits for a peer that does not read has no bound",
    "A1": "a snapshot that is older than the state is installed",
    "A2": "a vote that arrives twice counts twice",
    "A3": "the first frame of a stranger is a pickle that is loaded",
    "A4": "a transfer that takes longer than the connection timeout never arrives, and goes on in the middle of a file",
}


def shown_by(side: str, defect: str) -> list[str]:
    """Names of the tests on one side, `stock` or `ours`, that belong to the defect."""
    return [name for name in all_tests() if name.startswith(f"test_{side}_{defect.lower()}_")]


@cache
def all_tests() -> list[str]:
    """Names of all test functions of the two modules."""
    return [
        node.name
        for module in MODULES
        for node in ast.parse((HERE / module).read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def markdown() -> str:
    """The table."""
    rows = ["| defect | what | in the library | in ours |", "|---|---|---|---|"]
    for defect, what in DEFECTS.items():
        cells = ("<br>".join(f"`{name}`" for name in shown_by(side, defect)) for side in ("stock", "ours"))
        rows.append(f"| {defect} | {what} | {' | '.join(cells)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(markdown())
