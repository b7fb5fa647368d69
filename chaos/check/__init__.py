"""Checkers: one question a file, asked of a run's folder, any time later (base.py has the rules, every.py the list).

What they read of facts.json, all of it optional; a fact that is missing makes the checker that needs it say unknown:

| fact | what it is | who reads it |
|---|---|---|
| exit_codes | {node: exit code at the end, None if it did not run} | logs |
| whole | nodes that are not broken at the end | acked, converge, live, recover |
| read | true: the last reads were sent | acked |
| digests | {node: [index, digest]} of the nodes in `whole` | converge |
| plaintext | what grep.search found in places that exist no more | plaintext |
| faults_from_ns, healed_ns, load_ended_ns | moments of the run | rates, live |
| skipped | {nemesis: why it could not be used} | rates |
| unhealed | {number of a fault that was never healed: {"took_effect": bool}} | rates |
| write_gap_s | {nemesis: longest gap a fault of the leader may cause} | live |
| recover_s_max | instead of recover.RECOVER_S_MAX | recover |
| audit_synced | true: audit files are on the disk before an answer leaves | audit |
| backup | see backup.py | backup |
"""
