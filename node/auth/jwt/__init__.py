"""The auth methods of type jwt and oidc: who holds a token that somebody else signed gets one of ours.

Read in this order: `config` (whose signatures count), `roles` (what must stand in a token), `keys` (public keys and
where they come from), `compact` (a token's signature), `claims` (what it says), `login`, `sign_in` (a browser is sent
to an OpenID provider and comes back; `under_way` keeps what was begun), then `engine` (the table of paths).
"""
