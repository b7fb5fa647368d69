"""What this build is, and which level of Vault's API it says it speaks (clients gate features on that number)."""

PRODUCT_VERSION = "0.1.0"
VAULT_VERSION = "1.16.3"
BUILD_DATE = "2026-11-24T00:00:00Z"
