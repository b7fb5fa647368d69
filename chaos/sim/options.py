"""What one seed means: every option of a run is drawn from the seed and can be printed.

Pure. The same seed and the same code give the same run, byte for byte, whatever PYTHONHASHSEED is.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """Times in simulated seconds, rates per simulated second."""

    seed: int
    nodes: int
    chaos_s: float
    heal_s: float
    writes_per_s: float
    reads_per_s: float
    turn_s: float  # from waking a node to its turn
    delay_s: float  # typical one-way delay of a link
    spike_chance: float  # of a message to be late
    spike_s: float
    datagram: bool  # messages are lost, doubled and reordered, instead of links that break
    loss: float
    duplicates: float
    fault_s: float  # average time between faults
    crash_chance: float  # of a fault to be: kill -9
    power_chance: float  # power loss of one node
    blackout_chance: float  # power loss of all nodes
    partition_chance: float
    pause_chance: float
    reset_chance: float
    transfer_chance: float
    sync_failure_chance: float
    lost_log_chance: float
    slow_disk_chance: float
    sync_s: float  # typical time of a sync
    slow_sync_chance: float
    drift: float  # of a node's clock rate
    batch_entries_max: int
    window_bytes_max: int
    log_entries_max: int
    log_keep_entries: int
    snapshot_part_bytes: int

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in asdict(self).items())


def expand(seed: int) -> Options:
    """The options of a seed."""
    rng = random.Random(f"options {seed}")
    small = rng.random() < 0.5
    datagram = rng.random() < 0.3
    compacting = rng.random() < 0.6
    return Options(
        seed=seed,
        nodes=5 if rng.random() < 0.2 else 3,
        chaos_s=9.0,
        heal_s=7.0,
        writes_per_s=rng.choice((20.0, 40.0, 80.0)),
        reads_per_s=20.0,
        turn_s=rng.choice((0.0002, 0.001, 0.004)),
        delay_s=rng.choice((0.0005, 0.002, 0.008)),
        spike_chance=rng.choice((0.0, 0.01, 0.03)),
        spike_s=rng.choice((0.05, 0.5, 2.0)),
        datagram=datagram,
        loss=0.05 if datagram else 0.0,
        duplicates=0.05 if datagram else 0.0,
        fault_s=rng.choice((0.3, 0.6, 1.2)),
        crash_chance=0.2,
        power_chance=0.15,
        blackout_chance=0.05,
        partition_chance=0.2,
        pause_chance=0.15,
        reset_chance=0.1,
        transfer_chance=0.08,
        sync_failure_chance=0.03,
        lost_log_chance=0.04,
        slow_disk_chance=0.08,
        sync_s=rng.choice((0.0003, 0.002, 0.01)),
        slow_sync_chance=rng.choice((0.0, 0.01, 0.05)),
        drift=rng.choice((0.0, 0.005, 0.02)),
        batch_entries_max=rng.choice((2, 8)) if small else 4096,
        window_bytes_max=2000 if small else 4 * 1024 * 1024,
        log_entries_max=rng.choice((30, 120)) if compacting else 50_000,
        log_keep_entries=rng.choice((0, 5, 20)) if compacting else 4096,
        snapshot_part_bytes=rng.choice((300, 2000)),
    )
