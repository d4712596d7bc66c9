"""The real template on the local AWS engine, with the stand-in Braze behind it.

`python -m sandbox.stack up|down|status` for people, :func:`sandbox.stack.lifecycle.local_stack` for
programs. Nothing is imported here: `environments.py` must run before anything is installed.
"""
