"""The stand-in Braze: Braze as documented and recorded, on loopback, in memory.

`docs/sandbox.md` lists each behaviour with its source; a test checks each.
"""
