"""Raft: PySyncObj, hardened (docs/decisions/0001). `replica.Replica` is the face; `chassis` alone knows the library."""
