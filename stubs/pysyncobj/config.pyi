from typing import Any

class FAIL_REASON:
    SUCCESS: int
    NOT_LEADER: int
    UNKNOWN_OUTCOME: int

class SyncObjConf:
    raftMinTimeout: float
    raftMaxTimeout: float
    appendEntriesPeriod: float
    leaderFallbackTimeout: float
    def __init__(self, **kwargs: Any) -> None: ...
