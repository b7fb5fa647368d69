"""The auth method of type cert: who holds the key of a client certificate that a role trusts gets a token.

Read in this order: `roles` (what a role trusts and asks for), `chain` (from a certificate to a role's anchor),
`constraints` (what must stand in it), `crls`, `config`, `login`, then `engine` (the table of paths).
"""
