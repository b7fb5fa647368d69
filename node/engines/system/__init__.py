"""The system backend: mounts, policies, capabilities, audit devices, what the UI asks. All decisions are pure.

Read in this order: `routes` (which path does what), `backend` (the table), then one file per noun.
"""
