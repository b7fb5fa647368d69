"""Links between members: messages, frames, mutual TLS and the proof of the keyring."""
