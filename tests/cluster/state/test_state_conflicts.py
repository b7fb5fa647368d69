"""Which hash a transaction may carry for what it changes: a closed list, and everything else touches everything."""

from __future__ import annotations

import pytest

from cluster.state.tables import EVERYTHING, QUIET, TABLES, Conflict, Table, TableInfo

OWN = {
    Table.SECRET: Conflict.PATH,
    Table.VERSION: Conflict.PATH,
    Table.TOKEN: Conflict.FRESH,
    Table.ACCESSOR: Conflict.FRESH,
    Table.LEASE: Conflict.FRESH,
    Table.WRITE_ID: Conflict.QUIET,
    Table.AUDIT_HEAD: Conflict.QUIET,
    Table.BACKUP_POSITION: Conflict.QUIET,
}
"""Whoever adds a line here says that reads need not wait for such a change, or only those of its path."""


@pytest.mark.parametrize("table", list(Table))
def test_a_table_touches_everything_unless_it_is_listed(table: Table) -> None:
    """A new table is in the product's list, and touches everything until somebody lists it here, too."""
    assert TABLES[table].conflict is OWN.get(table, Conflict.ALL)


def test_what_a_table_says_nothing_of_is_the_strictest() -> None:
    """The default; and the two reserved hashes are not one."""
    assert TableInfo(None).conflict is Conflict.ALL
    assert EVERYTHING != QUIET
    assert set(TABLES) == set(Table)
