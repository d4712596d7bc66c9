"""What holds for every suite."""

from __future__ import annotations

import os

from hypothesis import settings

from tests.local_stack import stack

__all__ = ["stack"]  # here, so that every room that needs a stack shares the one

# Machines are noisy: an example may take any time. What failed is printed, ready to be repeated.
settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")

# The template gives it to every function; without it no handler can write its figures.
os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "BrazeBridge/tests")
