"""What holds for every suite."""

from __future__ import annotations

from hypothesis import settings

# Machines are noisy: an example may take any time. What failed is printed, ready to be repeated.
settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")
