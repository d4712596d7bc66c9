"""AWS in memory, as for the job ports."""

from __future__ import annotations

from tests.functional.jobs.conftest import aws

__all__ = ["aws"]
