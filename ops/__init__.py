"""The ``bridge`` command, for the people who run the bridge. Never packaged."""
