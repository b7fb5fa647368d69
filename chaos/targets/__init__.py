"""Clusters that a run breaks: processes of this machine, namespaces, containers, somebody's own, a simulated one."""
