"""Who asks: tokens, their tree and their lives, and the policies they carry. All decisions are pure.

Read in this order: `tokens` (what a token is and when it is valid), `token_use` (limited uses), `token_create`,
`token_lookup`, `token_renew`, `token_revoke`, then `token_engine` (the paths below auth/token/).
"""
