"""The node: HTTP, authorization, engines, audit and processes around one member of the cluster."""
