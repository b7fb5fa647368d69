"""The numbers this project holds itself to, on two shared cores. `must` fails a review, `aim` is where we want to be.

Pure data. Ratios and CPU per request are what to trust on a machine that others use, too.
"""

from __future__ import annotations

from .figures import Target

TARGETS = (
    Target("KV puts, 256 writers", "per_s", must=5_000, aim=9_000, at_most=False),
    Target("KV puts, 1 writer", "p50_ms", aim=1.5),
    Target("opaque entries, 256 writers", "per_s", aim=25_000, at_most=False),
    Target("opaque entries, 1 writer", "p50_ms", aim=1.5),
    Target("GET, single node", "ratio:per_s", must=0.12, aim=0.18, at_most=False),
    Target("GET, audited beside not audited", "ratio:per_s", aim=0.9, at_most=False),
    Target("GET, audited beside not audited", "ratio:cpu_us", aim=1.1),
    Target("GET, audited beside not audited, one rarer header", "ratio:cpu_us", aim=1.1),
    Target("AppRole logins, single node", "per_s", must=1_000, aim=2_000, at_most=False),
    Target("AppRole logins, leader of three", "cpu_us", must=1_000, aim=500),
    Target("AppRole logins, follower of three", "cpu_us", must=1_000, aim=500),
    Target("policy decision, exact, 1,000 rules", "ratio:us", must=1.5, aim=1.2),
    Target("policy decision, prefix, 1,000 rules", "ratio:us", must=1.5, aim=1.2),
    Target("policy decision, plus, 1,000 rules", "ratio:us", must=1.5, aim=1.2),
    Target("policy decision, plus and prefix, 1,000 rules", "ratio:us", must=1.5, aim=1.2),
    Target("failover", "p50_s", must=0.8, aim=0.7),
    Target("failover", "max_s", must=2.0),
    Target("KV puts, async to sqlite", "ratio:p50_ms", must=1.05),
    Target("KV puts, async to postgres", "ratio:p50_ms", must=1.05),
    Target("memory of a node", "rss_gb", must=1.0),
    Target("restart of one node", "seconds", must=10, aim=5),
    Target("restart of all nodes", "seconds", must=10, aim=5),
    Target("longest loop turn, leader's snapshot", "turn_ms", must=50, aim=30),
    Target("longest loop turn, follower's snapshot", "turn_ms", must=50, aim=30),
    Target("catch-up of a wiped node", "seconds", must=30),
)
