"""Outgrow's bodies as jobs: identity, time, person, attributes, event, consent."""

from __future__ import annotations

import json
import pathlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.jobs.envelope import DeliveryJob, parse_job
from braze_bridge.mapping.attributes import Skip
from braze_bridge.mapping.job_building import UNTIMED
from braze_bridge.mapping.link_signatures import any_signature_fits
from braze_bridge.mapping.outcomes import Ignored, Mapped, Outcome, Unmappable
from braze_bridge.partner_config.toml_files import load_outgrow
from outgrow_ingest.mapping import map_response
from tests.fakes.clock import NOON
from tests.fakes.json_bodies import outgrow_bodies

if TYPE_CHECKING:
    from braze_bridge.partner_config.outgrow import OutgrowConfig

SHIPPED = load_outgrow(pathlib.Path(__file__).parents[3] / "layers" / "partner_config")
BODY = {
    "response_id": "r-1",
    "created_at": "2026-11-20T08:15:30Z",
    "email": "ada@example.com",
    "score": 87,
}


def config(folder: pathlib.Path, text: str) -> OutgrowConfig:
    (folder / "outgrow.toml").write_text(text, encoding="utf-8")
    return load_outgrow(folder)


def mapped(
    body: Any,
    content_id: str | None = "c",
    given: OutgrowConfig = SHIPPED,
    received_at: datetime = NOON,
) -> Outcome:
    return map_response(
        body,
        content_id=content_id,
        rule=given.rule_for(content_id),
        received_at=received_at,
        correlation_id="r",
        signature_fits=any_signature_fits,
    )


def job_of(outcome: Outcome) -> DeliveryJob:
    assert isinstance(outcome, Mapped), outcome
    return outcome.job


def codes(outcome: Outcome) -> list[tuple[str | None, str]]:
    assert isinstance(outcome, Unmappable), outcome
    return [(reason.field, reason.code) for reason in outcome.reasons]


def response_of(outcome: Outcome) -> str:
    """The job's id without the hash of the content."""
    response, _, content = job_of(outcome).job_id.rpartition(":")
    assert len(content) == 12
    return response


@pytest.mark.parametrize(
    ("changes", "identity"),
    [
        ({"response_id": "r-1"}, "r-1"),
        ({"response_id": "  r-1 "}, "r-1"),
        ({"response_id": 17}, "17"),
        ({"response_id": "17"}, "17"),
        ({"response_id": 1.5}, "1.5"),
        ({"response_id": None, "id": "i-1"}, "i-1"),
        ({"response_id": "", "submission_id": "s-1"}, "s-1"),
        ({"response_id": True, "id": ["x"], "submission_id": "s-1"}, "s-1"),
        ({"response_id": 10**4000, "id": float("inf"), "submission_id": "s-1"}, "s-1"),
        ({"response_id": "ada@example.com"}, "h-"),
        ({"response_id": "x" * 64}, "x" * 64),
        ({"response_id": None, "lead_id": "L-7"}, "L-7.20261120T081530.000Z."),
        ({"response_id": None, "lead": {"id": 7}}, "7.20261120T081530.000Z."),
    ],
)
def test_response_identity(changes: dict[str, Any], identity: str) -> None:
    """The partner's own id is in the job's: plain, or hashed if it could be personal."""
    job_id = response_of(mapped({**BODY, **changes}))

    if identity.startswith("h-"):
        assert job_id.startswith("outgrow:c:h-")
        assert len(job_id) == len("outgrow:c:h-") + 32
    elif identity.endswith("."):
        assert job_id.startswith(f"outgrow:c:{identity}")
        assert len(job_id) == len(f"outgrow:c:{identity}") + 8
    else:
        assert job_id == f"outgrow:c:{identity}"


def test_a_lead_that_answers_again_is_another_response() -> None:
    """If only the lead has a time, the answers distinguish its responses."""
    lead = {"lead": {"id": "L-1", "created_at": "2026-01-01", "email": "ada@example.com"}}

    first, again, other = (
        job_of(mapped({**lead, "score": score})).job_id for score in (10, 10, 90)
    )

    assert first == again
    assert first != other


@pytest.mark.parametrize(
    "identity", ["ada@example.com", "+4930123456", "x" * 65, "a b", "é", "9" * 4000, "a:b", "a/b"]
)
def test_identity_that_is_not_plain_never_shows(identity: str) -> None:
    """An e-mail address, a phone number, anything odd or long is hashed: ids are logged."""
    job_id = job_of(mapped({**BODY, "response_id": identity}, content_id=identity)).job_id

    assert identity not in job_id
    assert job_id.count("h-") == 2
    assert len(job_id) <= 256


def test_resend_is_the_same_job() -> None:
    """Key order, spacing and arrival do not matter: the same response is the same job."""
    without = {key: value for key, value in BODY.items() if key != "response_id"}
    again = json.loads(json.dumps(dict(reversed(without.items())), indent=2))

    first = job_of(mapped(without))
    second = job_of(mapped(again, received_at=NOON + timedelta(hours=1)))

    assert first.job_id == second.job_id
    assert first.job_id.startswith("outgrow:c:b-")
    assert job_of(mapped({**without, "score": 88})).job_id != first.job_id


def test_lead_is_no_response_without_a_time() -> None:
    """A lead answers more than once: without a readable time its id names no response."""
    lead = {"lead_id": "L-7", "email": "ada@example.com", "score": 1}

    ids = [
        job_of(mapped({**lead, **time})).job_id
        for time in ({}, {"created_at": "yesterday"}, {"created_at": "2026-11-20"})
    ]

    assert ids[0].startswith("outgrow:c:b-")
    assert ids[1].startswith("outgrow:c:b-")
    assert ids[2].startswith("outgrow:c:L-7.20261120T000000.000Z.")


def test_lead_in_the_future_stays_the_same_response() -> None:
    """The identity has the partner's time; the job has the time of its arrival."""
    body = {"lead_id": "L-7", "email": "a@example.com", "score": 1, "created_at": "2027-01-01"}

    jobs = [job_of(mapped(body, received_at=at)) for at in (NOON, NOON + timedelta(minutes=5))]

    assert jobs[0].job_id == jobs[1].job_id
    assert [job.occurred_at for job in jobs] == [NOON, NOON + timedelta(minutes=5)]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({"created_at": "2026-11-20T08:15:30Z"}, datetime(2026, 11, 20, 8, 15, 30, tzinfo=UTC)),
        ({"createdAt": 1795162530}, datetime(2026, 11, 20, 8, 15, 30, tzinfo=UTC)),
        ({"submitted_at": "1795162530000"}, datetime(2026, 11, 20, 8, 15, 30, tzinfo=UTC)),
        ({"lead": {"created_at": "2026-11-20"}}, datetime(2026, 11, 20, tzinfo=UTC)),
        (
            {"created_at": "soon", "createdAt": "2026-11-20"},
            datetime(2026, 11, 20, tzinfo=UTC),
        ),
        ({"created_at": "2026-11-22T13:00:00+02:00"}, NOON - timedelta(hours=1)),
        ({"created_at": "2026-11-22T12:00:01Z"}, NOON),
        ({"created_at": "9999-12-31"}, NOON),
        ({"created_at": "0001-01-01T00:00:00Z"}, NOON - UNTIMED),
        ({"created_at": True}, NOON - UNTIMED),
        ({}, NOON - UNTIMED),
    ],
)
def test_time_of_the_response(times: dict[str, Any], expected: datetime) -> None:
    """The partner's time orders the job, but never a time after its arrival.

    A response without a readable time is older than every other.
    """
    body = {"response_id": "r", "email": "ada@example.com", "score": 1, **times}

    assert job_of(mapped(body)).occurred_at == expected


def test_content_in_the_job_id() -> None:
    """The content comes from the URL; without one it is ``default``."""
    assert response_of(mapped(BODY, content_id="65f0aa17")) == "outgrow:65f0aa17:r-1"
    assert response_of(mapped(BODY, content_id=None)) == "outgrow:default:r-1"
    assert response_of(mapped(BODY, content_id="")) == "outgrow:default:r-1"


def test_score_is_always_a_number_and_segment_always_a_string() -> None:
    """Out of the box the two attributes never change their type."""
    for score in (87, 87.5, "87", "87.5", -1, 0, "0"):
        value = job_of(mapped({**BODY, "score": score})).attributes["outgrow_quiz_score"]
        assert isinstance(value, int | float)
        assert not isinstance(value, bool)
    for segment in ("007", 7, True, 7.5, "no", "+4930123456"):
        body = {**BODY, "segment": segment}
        assert isinstance(job_of(mapped(body)).attributes["outgrow_custom_segment"], str)


def test_no_identity_names_every_unusable_one() -> None:
    """Without a usable identifier every reason is given, the first to be counted by."""
    outcome = mapped({"score": 1, "email": "n/a", "user": {"phone": 12}})

    assert codes(outcome) == [
        ("person", "no_identity"),
        ("email", "placeholder"),
        ("user.phone", "invalid_phone"),
    ]


def test_nothing_to_send_names_every_misfit() -> None:
    """Without an answer that fits there is nothing to send; each answer has its reason."""
    outcome = mapped({"email": "ada@example.com", "score": "high", "segment": "2026-11-20"})

    assert codes(outcome) == [
        (None, "nothing_to_send"),
        ("outgrow_quiz_score", "wrong_type"),
        ("outgrow_custom_segment", "looks_like_date"),
    ]


@pytest.mark.parametrize("body", [[], [BODY], "text", 7, True, None, {}, 1e400, 10**4000])
def test_body_of_any_shape_is_unmappable_at_worst(body: Any) -> None:
    """An array, a scalar or nothing where an object should be has no identity."""
    assert codes(mapped(body)) == [("person", "no_identity"), (None, "nothing_to_send")]


def test_unusable_identifiers_before_the_used_one_are_noted() -> None:
    """A job found by its second identifier says what was wrong with the first."""
    outcome = mapped({**BODY, "email": "n/a", "phone": "+4930123456"})

    assert isinstance(outcome, Mapped)
    assert [(note.field, note.code) for note in outcome.notes] == [("email", "placeholder")]


CONTACTS = """
schema_version = 1
[default]
response_id = "id"
create_profiles = false
[default.person]
order = ["external_id", "email", "phone"]
external_id = "external_id"
email = "email"
phone = "phone"
trust = "signed"
signature = "mark"
[default.attributes]
email = { from = "new_email", type = "string" }
phone = { from = "new_phone", type = "string" }
score = { from = "score", type = "integer", on_mismatch = "reject" }
"""


@pytest.mark.parametrize(
    ("body", "attributes", "conflicts"),
    [
        (
            {"external_id": "c", "new_email": "A@example.com", "new_phone": "+4930123456"},
            {"email": "a@example.com", "phone": "+4930123456"},
            [],
        ),
        ({"email": "a@example.com", "new_email": "A@example.com"}, {}, []),
        ({"email": "a@example.com", "new_email": "b@example.com"}, {}, ["email"]),
        (
            {"email": "a@example.com", "new_phone": "+4930123456"},
            {"phone": "+4930123456"},
            [],
        ),
        ({"phone": "+4930123456", "new_phone": "+49 30 123456"}, {}, []),
        ({"phone": "+4930123456", "new_phone": "+4930999999"}, {}, ["phone"]),
        ({"phone": "+4930123456", "new_email": "a@example.com"}, {}, ["email"]),
    ],
)
def test_attribute_never_changes_whom_the_job_is_about(
    tmp_path: pathlib.Path,
    body: dict[str, Any],
    attributes: dict[str, Any],
    conflicts: list[str],
) -> None:
    """An e-mail or phone attribute that Braze would take for an identifier is left out."""
    outcome = mapped({"id": "r", "score": 1, "mark": "m", **body}, given=config(tmp_path, CONTACTS))

    job = job_of(outcome)
    assert job.attributes == {**attributes, "score": 1}
    assert isinstance(outcome, Mapped)
    assert outcome.skips == tuple(Skip(name, "identifier_conflict") for name in conflicts)
    assert not job.user.may_create


def test_rejecting_attribute_refuses_the_whole_response(tmp_path: pathlib.Path) -> None:
    """``on_mismatch = "reject"`` refuses the response for one value that does not fit."""
    given = config(tmp_path, CONTACTS)

    outcome = mapped({"email": "a@example.com", "mark": "m", "score": 1.5}, given=given)
    unidentified = mapped({"score": 1.5}, given=given)

    assert codes(outcome) == [("score", "wrong_type")]
    assert codes(unidentified) == [("person", "no_identity"), ("score", "wrong_type")]


EVENTS = """
schema_version = 1
[default]
response_id = "id"
occurred_at = "at"
consent = ["lead.consent", "consent"]
person = { order = ["email"], email = ["email"] }
[default.event]
name = "outgrow_completed"
properties.score = { from = "score", type = "number" }
properties.topics = { from = "topics", type = "array", separator = "," }
"""


def test_event_goes_out_with_typed_properties_at_the_response_time(
    tmp_path: pathlib.Path,
) -> None:
    """An event is something to send by itself; its properties are typed like attributes."""
    body = {
        "id": "r",
        "at": "2026-11-20",
        "consent": "yes",
        "email": "a@example.com",
        "score": "87",
        "topics": "a,b",
    }

    job = job_of(mapped(body, given=config(tmp_path, EVENTS)))

    [event] = job.events
    assert (event.name, event.time) == ("outgrow_completed", job.occurred_at)
    assert event.properties == {"score": 87, "topics": ["a", "b"]}
    assert job.attributes == {}


def test_event_without_properties_is_still_sent(tmp_path: pathlib.Path) -> None:
    """A property that does not fit is skipped; the event is sent."""
    body = {"email": "a@example.com", "consent": True, "score": "high"}

    outcome = mapped(body, given=config(tmp_path, EVENTS))

    assert job_of(outcome).events[0].properties == {}
    assert isinstance(outcome, Mapped)
    assert outcome.skips == (Skip("score", "wrong_type"),)


@pytest.mark.parametrize(
    ("consent", "ignored"),
    [
        ({"consent": True}, False),
        ({"consent": "Yes "}, False),
        ({"consent": 1}, False),
        ({"lead": {"consent": "on"}}, False),
        ({"lead": {"consent": False}, "consent": True}, True),
        ({"consent": False}, True),
        ({"consent": "no"}, True),
        ({"consent": "maybe"}, True),
        ({"consent": ""}, True),
        ({"consent": None}, True),
        ({"consent": {"given": True}}, True),
        ({"consent": [True]}, True),
        ({}, True),
    ],
)
def test_consent_has_to_be_given(
    tmp_path: pathlib.Path, consent: dict[str, Any], ignored: bool
) -> None:
    """Only a clear yes counts; the first hit decides, and no answer is no consent."""
    outcome = mapped({"email": "a@example.com", **consent}, given=config(tmp_path, EVENTS))

    assert isinstance(outcome, Ignored) == ignored


@pytest.mark.parametrize("body", [{}, [], {"email": "n/a"}, None])
def test_without_consent_nothing_else_matters(tmp_path: pathlib.Path, body: Any) -> None:
    """A body without consent is not parked, however broken it is."""
    assert mapped(body, given=config(tmp_path, EVENTS)) == Ignored("no_consent")


@given(body=outgrow_bodies(), content_id=st.one_of(st.none(), st.text(max_size=80)))
def test_every_body_has_an_outcome(body: Any, content_id: str | None) -> None:
    """Any body becomes a job that delivery can read, or says why not; always the same."""
    content_id = content_id and content_id.encode(errors="replace").decode()

    outcome = mapped(body, content_id)

    assert mapped(body, content_id) == outcome
    if isinstance(outcome, Mapped):
        assert parse_job(outcome.job.to_json()) == outcome.job
        score = outcome.job.attributes.get("outgrow_quiz_score", 0)
        segment = outcome.job.attributes.get("outgrow_custom_segment", "")
        assert type(score) in (int, float)
        assert type(segment) is str
    else:
        assert isinstance(outcome, Unmappable)
        assert outcome.reasons
