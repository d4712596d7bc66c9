"""What the audit of the shipped packages says, with any answers of the index."""

from __future__ import annotations

from datetime import timedelta

from ops.deployment.audit import LOCKS, UNANSWERED_UNTIL, pinned, problems

LATE = UNANSWERED_UNTIL + timedelta(days=1)


def test_a_known_vulnerability_is_a_problem() -> None:
    """Named with its ids."""
    known = {"requests==2.34.2": ["PYSEC-1", "GHSA-2"], "idna==3.20": []}

    (problem,) = problems(known, UNANSWERED_UNTIL)

    assert "requests==2.34.2" in problem
    assert "PYSEC-1, GHSA-2" in problem
    assert "idna" not in problem


def test_a_release_without_an_answer_does_not_age_unseen() -> None:
    """Until a date it is only named; after it the audit fails."""
    known: dict[str, list[str] | None] = {"requests==2.34.2": None, "idna==3.20": []}

    assert list(problems(known, UNANSWERED_UNTIL)) == []
    (problem,) = problems(known, LATE)
    assert "requests==2.34.2" in problem
    assert list(problems({"idna==3.20": []}, LATE)) == []


def test_what_ships_is_read_from_its_locks() -> None:
    """Each package with its version, without hashes and markers."""
    shipped = pinned("".join(lock.read_text() for lock in LOCKS))

    assert {"certifi", "urllib3", "phonenumberslite", "pydantic-core"} <= shipped.keys()
    assert all(version[0].isdigit() and " " not in version for version in shipped.values())
