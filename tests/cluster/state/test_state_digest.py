"""The digest: equal for the same log everywhere, different for different records."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest

from cluster.state.machine import State
from cluster.state.tables import Table
from tests.cluster.state.building import KEY, MOUNT, facts_of, random_log, state_of

A, B = MOUNT + b"a", MOUNT + b"b"
PROGRAM = """
from tests.cluster.state.building import random_log
state, _ = random_log(5, 600)
print(f"{state.digest:x}", sum(state.counts.values()))
"""


def test_the_same_log_gives_the_same_digest_in_processes_with_other_hash_seeds():
    """Shards and sets are laid out differently there; nothing that counts is."""
    printed = set()
    for seed in ("0", "4711"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        printed.add(done.stdout.strip())
    state, _ = random_log(5, 600)

    assert printed == {f"{state.digest:x} {sum(state.counts.values())}"}


@pytest.mark.parametrize("table", [Table.SECRET, Table.ENTRY])
def test_swapping_the_values_of_two_records_changes_the_digest(table):
    """It would not, under a linear hash."""
    one = state_of((table, A, b"x" * 64), (table, B, b"y" * 64))
    other = state_of((table, A, b"y" * 64), (table, B, b"x" * 64))

    assert one.digest != other.digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((Table.FACT, b"k", b"x"), (Table.SALT, b"k", b"x")),
        ((Table.FACT, b"k", b"yx"), (Table.FACT, b"ky", b"x")),
        ((Table.FACT, b"k", b"x"), (Table.FACT, b"k", b"y")),
        ((Table.SECRET, A + b"\0\0\0\1", b"x"), (Table.VERSION, A + b"\0\0\0\1", b"x")),
    ],
)
def test_table_key_and_record_are_told_apart(one, other):
    """Moving a byte over their border is another record."""
    assert state_of(one).digest != state_of(other).digest


def test_the_digest_is_that_of_the_written_format():
    """BLAKE2b-128 under the digest key of table, length of the key, key, record."""
    message = bytes([Table.FACT]) + (1).to_bytes(2, "big") + b"k" + b"record"
    expected = hashlib.blake2b(message, digest_size=16, key=KEY).digest()

    assert expected == state_of((Table.FACT, b"k", b"record")).digest.to_bytes(16, "little")


def test_another_key_gives_another_digest():
    """So nobody without it can aim at a collision."""
    other = State(b"another key")
    other.apply(1, 1, facts_of((Table.FACT, b"k", b"x")))

    assert other.digest != state_of((Table.FACT, b"k", b"x")).digest


def test_records_that_go_leave_no_trace_in_the_digest():
    """Order does not matter, and an empty state has digest 0."""
    state = state_of((Table.FACT, b"k", b"x"), (Table.SECRET, A, b"x"), (Table.FACT, b"k", b"y"))
    state.apply(9, 1, facts_of(drops=[(Table.FACT, b"k"), (Table.SECRET, A)]))

    assert state.digest == 0
