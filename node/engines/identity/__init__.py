"""The paths below identity/: entities, their aliases, groups, and looking them up. The rules are in `node/identity`."""
