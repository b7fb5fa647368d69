"""The replicated state: records in tables, transactions, apply, derived indexes. Pure."""
