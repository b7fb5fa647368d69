"""Who is behind a token: entities, what auth mounts call them, and their groups. Pure.

Read in this order: `keys` (where what stands), `changes` (several records changed in one decision), `entities` and
`groups` (what may be done to them), `person` (whom a token belongs to, and which policies that adds), `arrival` (a
login finds its entity, or makes it). The API's paths are in `node/engines/identity`.
"""
