"""The stand-in Braze: what Braze is documented and recorded to be, on loopback, in memory.

Each behaviour and where it comes from is a row of `docs/sandbox.md`, held by a test.
"""
