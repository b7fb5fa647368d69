"""The engine `pki`: one internal authority a mount, roles, certificates with and without leases, one CRL."""
