"""The sandbox's page for people, served by the stand-in at ``/_sandbox/`` (docs/sandbox.md)."""
