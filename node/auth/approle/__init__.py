"""The auth method of type approle: a role's id and one of its secret-ids make a token.

Read in this order: `role_fields` (what a role says), `roles` (its paths), `secret_ids` (what is kept of a secret-id),
`secret_id_paths`, `sweeping` (secret-ids that are of no more use), `login`, then `engine` (the table of paths).
"""
