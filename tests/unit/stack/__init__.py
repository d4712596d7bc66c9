"""The local stack's own parts, without its servers."""
