"""The command line: thin commands over Vault's HTTP API, and the start of a server.

A command that talks to a server imports neither `cluster` nor aiohttp nor cryptography: a shell loop pays for each.
The API's JSON goes to stdout unchanged, everything else to stderr. Exit 0 done, 1 usage or local error, 2 the server
refused, 3 the outcome is unknown.
"""
