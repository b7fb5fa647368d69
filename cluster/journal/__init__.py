"""The journal: the files of a node, written by a child process.

Log segments, the ballot and snapshots. Everything that comes in here is already sealed. What a name in this room
needs from outside comes as a `seams.Disk`; only parent.py and child.py know processes and sockets.

The modules that the child process runs (child, duties, writer, segments, wal, frames, ballot_file, snapshot_file,
snapshot_desk) import the standard library, cluster/errors.py and cluster/seams.py, nothing else.
"""
