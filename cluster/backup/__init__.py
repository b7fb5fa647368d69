"""Backups: sealed batches of applied transactions and base snapshots, in sinks that are not believed."""
