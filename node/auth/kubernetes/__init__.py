"""The auth method of type kubernetes: a service account's token, reviewed by its cluster, makes a token of ours.

Read in this order: `config` (which cluster), `roles` (which service accounts), `review` (asking the cluster), `login`,
then `engine` (the table of paths).
"""
