"""Iterate's bodies as jobs: identity, time, person, attributes, events."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.braze.models import AttributesObject, EventObject
from braze_bridge.jobs.envelope import DeliveryJob, parse_job, split_job
from braze_bridge.mapping.job_building import UNTIMED
from braze_bridge.mapping.outcomes import Ignored, Mapped, Outcome, Unmappable
from braze_bridge.mapping.values import looks_like_date
from braze_bridge.partner_config.iterate import EVENT_NAME, IterateConfig
from braze_bridge.partner_config.toml_files import load_iterate
from braze_delivery.reading import identifier_of
from iterate_responses.answers import attribute_name, braze_text
from iterate_responses.mapping import MOST_RESPONSES, map_response
from tests.fakes.clock import NOON
from tests.fakes.iterate import PARTNER_CONFIG, SURVEY, answer, body
from tests.fakes.json_bodies import iterate_bodies

if TYPE_CHECKING:
    import pathlib

SHIPPED = load_iterate(PARTNER_CONFIG)
ENJOY = "Do you enjoy our products?"
PERSON = """
schema_version = 1
[default]
survey_id = "survey_response.survey.id"
answer = "formatted_response"
person = { order = ["email"], email = "survey_response.user.email" }
"""
ADA = {"email": "ada@example.com"}


def config(folder: pathlib.Path, text: str) -> IterateConfig:
    (folder / "iterate.toml").write_text(PERSON + text, encoding="utf-8")
    return load_iterate(folder)


def mapped(posted: Any, given: IterateConfig = SHIPPED, received_at: datetime = NOON) -> Outcome:
    return map_response(posted, config=given, received_at=received_at, correlation_id="r")


def job_of(outcome: Outcome) -> DeliveryJob:
    assert isinstance(outcome, Mapped), outcome
    return outcome.job


def skips_of(outcome: Outcome) -> list[tuple[str, str, bool]]:
    assert isinstance(outcome, Mapped), outcome
    return [(skip.name, skip.code, skip.default_used) for skip in outcome.skips]


def response_of(job: DeliveryJob) -> str:
    """The job's id without the hash of the content."""
    response, _, content = job.job_id.rpartition(":")
    assert len(content) == 12
    return response


def codes(outcome: Outcome) -> list[tuple[str | None, str]]:
    assert isinstance(outcome, Unmappable), outcome
    return [(reason.field, reason.code) for reason in outcome.reasons]


def test_each_answer_is_an_attribute_and_an_event() -> None:
    """Attributes are named by the prompts, events have their own times and flat properties."""
    job = job_of(mapped(body(answer(1, ENJOY, "No"), answer(2, " How old are you? ", "30s"))))

    assert response_of(job) == f"iterate:{SURVEY}:sr-1"
    assert job.user.braze_id == "5f1a0000c0ffee0000000001"
    assert job.occurred_at == datetime(2026, 11, 20, 9, tzinfo=UTC)
    assert job.attributes == {ENJOY: "No", "How old are you?": "30s"}
    assert [(event.name, event.time.minute) for event in job.events] == [
        (EVENT_NAME, 1),
        (EVENT_NAME, 2),
    ]
    assert job.events[1].properties == {
        "survey_id": SURVEY,
        "survey_name": "How was it?",
        "question_id": "q2",
        "question": "How old are you?",
        "response": "30s",
        "response_id": "a2",
    }


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda b: b, True),
        (lambda b: b | {"sent_at": "2026-11-21T09:00:00Z", "attempt": 2}, True),
        (lambda b: json.loads(json.dumps(dict(reversed(b.items())), indent=1)), True),
        (lambda b: b | {"survey_response": b["survey_response"] | {"new": [1]}}, True),
        (lambda b: b | {"survey_response": b["survey_response"] | {"id": "sr-2"}}, False),
        (
            lambda b: b | {"survey_response": b["survey_response"] | {"survey": {"id": "another"}}},
            False,
        ),
    ],
)
def test_a_resend_is_the_same_job(change: Any, same: bool) -> None:
    """Whatever Iterate adds, and whenever it comes: the response's own id names the job."""
    first = body(answer(1, ENJOY))

    again = mapped(change(first), received_at=NOON + timedelta(hours=24))

    assert (job_of(mapped(first)).job_id == job_of(again).job_id) is same


def test_without_an_id_of_its_own_the_answers_ids_name_the_response() -> None:
    """In any order, with any other fields; another answer is another response."""
    first = body(answer(1, ENJOY), answer(2, "Why?"), id=None)
    again = body(answer(2, "Why?"), answer(1, ENJOY), id=None, more=1)
    other = body(answer(1, ENJOY), answer(3, "Why?"), id=None)

    jobs = [job_of(mapped(each)) for each in (first, again, other)]

    assert response_of(jobs[0]) == response_of(jobs[1]) != response_of(jobs[2])
    assert response_of(jobs[0]).startswith(f"iterate:{SURVEY}:r-")
    assert set(jobs[0].once_ids) == set(jobs[1].once_ids)
    assert set(jobs[0].once_ids) & set(jobs[2].once_ids) == {f"iterate:{SURVEY}:{EVENT_NAME}:a1"}


@pytest.mark.parametrize("own", [{}, {"id": None}])
def test_a_response_that_comes_again_with_more_counts_only_what_is_new(own: dict[str, Any]) -> None:
    """Iterate may send a response again when the next question is answered, or one is changed."""
    first = job_of(mapped(body(answer(1, ENJOY, "No"), **own)))
    more = job_of(mapped(body(answer(1, ENJOY, "Yes"), answer(2, "Why?"), **own)))

    assert first.job_id != more.job_id
    assert more.once_ids[0] == first.once_ids[0]
    assert len(set(more.once_ids)) == 2


@pytest.mark.parametrize("own", [{}, {"id": None}])
def test_answers_without_ids_of_their_own_are_told_apart_by_their_place(
    own: dict[str, Any],
) -> None:
    """Without an id, or with the id of another answer; also an id that looks like a place."""
    ids = job_of(
        mapped(
            body(
                answer(1, ENJOY, id=None),
                answer(2, "Why?", id="a"),
                answer(3, "And?", id="a"),
                answer(4, "So?", id="responses[0]"),
                answer(5, "Then?", id=0),
                **own,
            )
        )
    ).once_ids

    assert len(set(ids)) == 5
    assert [id_.rpartition(":")[2] for id_ in ids[:3]] == ["responses[0]", "a", "responses[2]"]


def test_without_any_id_the_whole_body_names_the_response() -> None:
    """Also if only some answers have ids."""
    for odd in (answer(1, ENJOY, id=None), answer(1, ENJOY, id={"oid": 1})):
        first = body(odd, answer(2, "Why?"), id=None)
        again = json.loads(json.dumps(first, sort_keys=True, indent=1))
        other = body(odd, answer(2, "Why?", "No"), id=None)

        ids = [job_of(mapped(each)).job_id for each in (first, again, other)]

        assert ids[0] == ids[1] != ids[2]
        assert ids[0].startswith(f"iterate:{SURVEY}:b-")


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ({"braze_id": "b" * 24, "external_id": "e"}, {"external_id": "e"}),
        ({"user_braze_id": "b" * 24, "email": "ada@example.com"}, {"email": "ada@example.com"}),
        ({"user_braze_id": "b" * 24, "id": "u-1"}, {"braze_id": "b" * 24}),
        ({"braze_id": "", "external_id": "e", "email": "a@example.com"}, {"external_id": "e"}),
        ({"external_id": 123}, {"external_id": "123"}),
        ({"email": "Ada@Example.com", "id": "u-1"}, {"email": "ada@example.com"}),
        (
            {"email": "n/a", "id": "u-1"},
            {"user_alias": {"alias_name": "u-1", "alias_label": "iterate_id"}},
        ),
        ({"braze_id": "{{${braze_id}}}", "external_id": "e"}, {"external_id": "e"}),
    ],
)
def test_person_in_the_configured_order(user: dict[str, Any], expected: dict[str, Any]) -> None:
    """External id, e-mail, Braze's own id, and Iterate's id as an alias."""
    places: list[dict[str, Any]] = [
        body(answer(1, ENJOY), user=user),
        body(answer(1, ENJOY), user={}) | {"user": user},
    ]
    if "id" not in user:
        places.append(body(answer(1, ENJOY), user={}, **user))
    for posted in places:
        job = job_of(mapped(posted))

        assert job.user.model_dump(exclude_none=True, exclude={"may_create"}) == expected


def test_the_responses_id_is_nobodys_alias() -> None:
    """``survey_response.id`` would make a new person of every response."""
    assert codes(mapped(body(answer(1, ENJOY), user={}))) == [("person", "no_identity")]


def test_a_link_that_was_never_rendered_names_nobody() -> None:
    """A link used outside of Braze still has its Liquid: that is the reason given."""
    outcome = mapped(body(answer(1, ENJOY), user={"braze_id": "{{${braze_id}}}"}))

    assert codes(outcome) == [
        ("person", "no_identity"),
        ("survey_response.user.braze_id", "unrendered_liquid"),
    ]


LONG = "Why? " * 60


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("Do you enjoy our products?", "Do you enjoy our products?"),
        ("  spaces \n", "spaces"),
        ("two  inside", "two  inside"),
        ("🎉 Happy? 🎉", "🎉 Happy? 🎉"),
        ("First name", "First name"),
        ("Email", "Email"),
        ("first_name", "iterate_first_name"),
        ("email", "iterate_email"),
        ("external_id", "iterate_external_id"),
        ("_update_existing_only", "iterate__update_existing_only"),
        ("current_location", "iterate_current_location"),
        ("$price?", "iterate_$price?"),
        ("a.b$c", "a.b$c"),
        ("<b>Bold?</b>", "<b>Bold?</b>"),
        ("12/1/2021", "12/1/2021"),
        ("x" * 255, "x" * 255),
        ("x" * 256, "x" * 245 + "… 85e62acd"),
    ],
)
def test_name_of_the_attribute(prompt: str, name: str) -> None:
    """The prompt, exactly, unless Braze would refuse it or take it for a field of its own."""
    job = job_of(mapped(body(answer(1, prompt))))

    assert list(job.attributes) == [name]
    assert len(name) <= 255


def test_long_prompts_that_begin_alike_stay_apart() -> None:
    """The name has a hash of the whole prompt, and is the same in every response."""
    first, second = LONG + "a", LONG + "b"

    names = list(job_of(mapped(body(answer(1, first), answer(2, second)))).attributes)

    assert names == [attribute_name(first), attribute_name(second)]
    assert len(set(names)) == 2
    events = job_of(mapped(body(answer(1, first)))).events
    assert events[0].properties["question"] == first[:254] + "…"


@pytest.mark.parametrize("name", ["x" * 300, "$" + "x" * 300, "email"])
def test_the_name_of_a_prompt_is_stable(name: str) -> None:
    """A name that was made is itself a name: nothing renames it again."""
    made = attribute_name(name)
    assert made is not None
    assert attribute_name(made) == made


def test_two_questions_with_one_prompt_keep_the_answer_given_last() -> None:
    """One attribute cannot hold both: the other is counted, and both are events."""
    early = answer(1, "Why?", "first", created_at="2026-11-20T08:00:00Z")
    late = answer(2, "Why? ", "second", created_at="2026-11-20T08:05:00Z")
    for responses, lost in (((early, late), 0), ((late, early), 1)):
        outcome = mapped(body(*responses))

        assert job_of(outcome).attributes == {"Why?": "second"}
        assert {e.properties["response"] for e in job_of(outcome).events} == {"first", "second"}
        assert skips_of(outcome) == [(f"responses[{lost}]", "same_name", False)]


def test_of_two_answers_without_times_the_last_in_the_list_stays() -> None:
    """No time, no order but that of the list."""
    outcome = mapped(body(answer(1, "Why?", "first", created_at=None), answer(2, "Why?", "second")))

    assert job_of(outcome).attributes == {"Why?": "second"}


@pytest.mark.parametrize("blank", ["", "  ", None, [], {}, [" ", ""], [None], [[]], [{}, [""]]])
def test_a_blank_answer_is_none(blank: Any) -> None:
    """A skipped question leaves neither attribute nor event, and is counted."""
    outcome = mapped(body(answer(1, ENJOY), answer(2, "Why?", blank)))

    job = job_of(outcome)
    assert (list(job.attributes), len(job.events)) == ([ENJOY], 1)
    assert isinstance(outcome, Mapped)
    assert (outcome.unanswered, outcome.skips) == (1, ())


@pytest.mark.parametrize(
    "responses", [[], None, [answer(1, ENJOY, "")], [answer(1, ENJOY, None), {}]]
)
def test_a_response_without_an_answer_is_ignored(responses: Any) -> None:
    """A person opened a survey and closed it: there is nothing to send, and no resend."""
    assert mapped(body(responses=responses)) == Ignored("no_answers")
    assert mapped(body(responses=responses, user={})) == Ignored("no_answers")


@pytest.mark.parametrize(
    "responses",
    [
        [{"q": "Do you?", "a": "No"}],
        [{"question_prompt": "Do you?", "response": "No"}],
        [{}, {"question_prompt": "Do you?", "response": "No"}],
    ],
)
def test_answers_that_stand_elsewhere_are_not_taken_for_skipped_ones(responses: Any) -> None:
    """Not even a blank where the answer should be: a shape we do not know, so it is parked."""
    outcome = mapped(body(responses=responses))

    assert codes(outcome) == [("survey_response.responses", "no_answer_field")]


def test_more_entries_than_any_survey_has_are_parked_unread() -> None:
    """Reading 80,000 entries that hold nothing would outlast the function."""
    most = mapped(body(responses=[{}] * MOST_RESPONSES))
    more = mapped(body(responses=[{}] * (MOST_RESPONSES + 1)))

    assert most == Ignored("no_answers")
    assert codes(more) == [("survey_response.responses", "too_many")]
    assert isinstance(more, Unmappable)
    assert more.skips == ()


@pytest.mark.parametrize(
    ("found", "kept", "code"),
    [
        ("Yes", "Yes", None),
        ("<script>alert(1)</script>", "<script>alert(1)</script>", None),
        ("👍🏽", "👍🏽", None),
        (" as it came ", " as it came ", None),
        (9, "9", None),
        (True, "true", None),
        (["a", "b"], "a, b", None),
        (["a", None, " ", "b"], "a, b", None),
        ([None, {"row": None}], '[{"row":null}]', None),
        ({"row": "a"}, '{"row":"a"}', None),
        ("x" * 255, "x" * 255, None),
        ("x" * 256, "x" * 254 + "…", "too_long"),
        ("12/1/2021", "12/1/2021 (text)", "kept_as_text"),
        ("2021-12-01", "2021-12-01 (text)", "kept_as_text"),
        ("1/2", "1/2", None),
    ],
)
def test_an_answer_is_always_a_text(found: Any, kept: str, code: str | None) -> None:
    """The attribute and the event's property are the same text, for any text."""
    outcome = mapped(body(answer(1, ENJOY, found)))

    job = job_of(outcome)
    assert job.attributes == {ENJOY: kept}
    assert job.events[0].properties["response"] == kept
    assert skips_of(outcome) == ([] if code is None else [("responses[0]", code, True)])


def test_a_long_answer_is_whole_in_its_event() -> None:
    """The attribute has it cut, the event has it in pieces: nothing is lost."""
    text = "".join(chr(ord("a") + n % 26) for n in range(1000))

    properties = job_of(mapped(body(answer(1, ENJOY, text)))).events[0].properties

    parts = [properties[f"response_part_{n}"] for n in (1, 2, 3, 4)]
    assert "".join(str(part) for part in parts) == text
    assert properties["response"] == text[:254] + "…"


def test_an_answer_too_long_for_an_event_is_told() -> None:
    """Over 100 KB the rest is left out, and counted."""
    outcome = mapped(body(answer(1, ENJOY, "x" * 200_000)))

    properties = job_of(outcome).events[0].properties
    assert len(json.dumps(properties)) < 105_000
    assert skips_of(outcome) == [
        ("responses[0]", "too_long", True),
        ("responses[0]", "too_long", False),
    ]


def test_without_a_prompt_only_the_event_is_left() -> None:
    """Nothing names the attribute: counted; with a name in the file it would have one."""
    outcome = mapped(body(answer(1, None, "Yes")))

    job = job_of(outcome)
    assert job.attributes == {}
    assert "question" not in job.events[0].properties
    assert skips_of(outcome) == [("responses[0]", "no_name", False)]


RULES = """
[default.questions]
"Do you enjoy our products?" = { name = "enjoys_products" }
"nps-1" = { name = "nps", type = "integer" }
"Which devices?" = { type = "array" }
"Which topics?" = { type = "array", separator = "|", items = "string" }
"When?" = { type = "date", formats = ["%m/%d/%Y", "%B %d, %Y"] }
"Agree?" = { type = "boolean" }
"Spent?" = { type = "number", default = 0 }
"Name?" = { name = "first_name" }
"Country?" = { name = "country" }
"Comment?" = { attribute = false }
"Code?" = { type = "integer", from = ["response_int", "formatted_response"] }
"Raw?" = { type = "integer", from = ["response_int"] }
"Strict?" = { on_mismatch = "skip" }
"Must?" = { type = "integer", on_mismatch = "reject" }
"Mail?" = { name = "email" }
[survey."own".questions]
"Do you enjoy our products?" = { name = "own_name" }
"nps-1" = false
"""


@pytest.mark.parametrize(
    ("entry", "attributes", "more"),
    [
        (answer(1, ENJOY, "No"), {"enjoys_products": "No"}, {"label": "enjoys_products"}),
        (
            answer(1, "How likely?", " 9 ", question_id="nps-1"),
            {"nps": 9},
            {"label": "nps", "response_int": 9},
        ),
        (
            answer(1, "Which devices?", "Phone, Tablet,"),
            {"Which devices?": ["Phone", "Tablet"]},
            {"response_array": ["Phone", "Tablet"]},
        ),
        (
            answer(1, "Which devices?", ["Phone, old", "Tablet"]),
            {"Which devices?": ["Phone, old", "Tablet"]},
            {"response_array": ["Phone, old", "Tablet"]},
        ),
        (
            answer(1, "Which topics?", "a, b|c"),
            {"Which topics?": ["a, b", "c"]},
            {"response_array": ["a, b", "c"]},
        ),
        (
            answer(1, "When?", "12/1/2021"),
            {"When?": "2021-12-01"},
            {"response_date": "2021-12-01"},
        ),
        (
            answer(1, "When?", "December 1, 2021"),
            {"When?": "2021-12-01"},
            {"response_date": "2021-12-01"},
        ),
        (answer(1, "Agree?", "Yes"), {"Agree?": True}, {"response_boolean": True}),
        (answer(1, "Spent?", "12.5"), {"Spent?": 12.5}, {"response_number": 12.5}),
        (answer(1, "Name?", "Ada"), {"first_name": "Ada"}, {"label": "first_name"}),
        (answer(1, "Country?", "de"), {"country": "DE"}, {"label": "country"}),
        (answer(1, "Comment?", "Nice"), {}, {}),
        (answer(1, "Code?", "four", response_int=4), {"Code?": 4}, {"response_int": 4}),
    ],
)
def test_rules_for_questions(
    tmp_path: pathlib.Path, entry: Any, attributes: dict[str, Any], more: dict[str, Any]
) -> None:
    """Renamed and typed as the file says; the event has the typed form beside the text."""
    outcome = mapped(body(entry, user=ADA), config(tmp_path, RULES))

    job = job_of(outcome)
    # As JSON, since 1 == 1.0 == True in Python.
    assert json.dumps(job.attributes) == json.dumps(attributes)
    properties = job.events[0].properties
    plain = {"survey_id", "survey_name", "question_id", "question", "response", "response_id"}
    assert {name: v for name, v in properties.items() if name not in plain} == more
    assert isinstance(properties["response"], str)


@pytest.mark.parametrize(
    ("entry", "attributes", "skip"),
    [
        (answer(1, "x", "ten", question_id="nps-1"), {}, ("wrong_type", False)),
        (answer(1, "When?", "1.12.2021"), {}, ("wrong_type", False)),
        (answer(1, "Spent?", "much"), {"Spent?": 0}, ("wrong_type", True)),
        (answer(1, "Country?", "Atlantis"), {}, ("not_allowed", False)),
        (answer(1, "Raw?", "4"), {}, ("not_found", False)),
        (answer(1, "Strict?", "x" * 256), {}, ("too_long", False)),
        (answer(1, "Strict?", "12/1/2021"), {}, ("looks_like_date", False)),
        (answer(1, "Which devices?", [str(n) for n in range(501)]), {}, ("too_many", False)),
    ],
)
def test_an_answer_that_does_not_fit_its_type(
    tmp_path: pathlib.Path, entry: Any, attributes: dict[str, Any], skip: tuple[str, bool]
) -> None:
    """Never sent in another type: left out and counted, or replaced; the event goes out."""
    outcome = mapped(body(entry, user=ADA), config(tmp_path, RULES))

    assert job_of(outcome).attributes == attributes
    assert [(code, replaced) for _, code, replaced in skips_of(outcome)] == [skip]
    assert len(job_of(outcome).events) == 1


def test_a_survey_s_own_rules_come_first(tmp_path: pathlib.Path) -> None:
    """Its own rules replace the default ones, ``false`` removes one, and the rest is inherited."""
    posted = body(
        answer(1, ENJOY),
        answer(2, "Likely?", "9", question_id="nps-1"),
        answer(3, "Agree?"),
        user=ADA,
        survey={"id": "own"},
    )

    job = job_of(mapped(posted, config(tmp_path, RULES)))

    assert job.attributes == {"own_name": "Yes", "Likely?": "9", "Agree?": True}


def test_an_answer_that_must_fit_refuses_the_response(tmp_path: pathlib.Path) -> None:
    """``reject`` parks the whole response, naming the place and not the answer."""
    outcome = mapped(
        body(answer(1, ENJOY), answer(2, "Must?", "ten"), user=ADA), config(tmp_path, RULES)
    )

    assert codes(outcome) == [("responses[1]", "wrong_type")]


def test_an_answer_never_changes_whom_the_job_is_about(tmp_path: pathlib.Path) -> None:
    """Another e-mail address under a person known by e-mail would be another person."""
    outcome = mapped(
        body(answer(1, "Mail?", "other@example.com"), user=ADA), config(tmp_path, RULES)
    )

    assert job_of(outcome).attributes == {}
    assert skips_of(outcome) == [("email", "identifier_conflict", False)]


def test_events_can_be_renamed_and_turned_off(tmp_path: pathlib.Path) -> None:
    """For all or for one survey; without events an answer that fits nothing is nothing to send."""
    given = config(
        tmp_path,
        'event_name = "answered"\n[survey.quiet]\nevent_name = false\n'
        '[survey.quiet.questions]\nn = { type = "integer" }\n',
    )
    loud = body(answer(1, ENJOY), user=ADA)
    quiet = body(answer(1, ENJOY), user=ADA, survey={"id": "quiet"})
    nothing = body(answer(1, "n", "x"), user=ADA, survey={"id": "quiet"})

    assert [event.name for event in job_of(mapped(loud, given)).events] == ["answered"]
    assert job_of(mapped(quiet, given)).events == ()
    assert codes(mapped(nothing, given)) == [
        (None, "nothing_to_send"),
        ("responses[0]", "wrong_type"),
    ]


def test_a_survey_of_which_nothing_is_wanted_is_ignored(tmp_path: pathlib.Path) -> None:
    """Neither events nor this attribute, says the file: nothing is lost, so nothing is parked."""
    given = config(tmp_path, "event_name = false\nquestions.q1 = { attribute = false }\n")

    assert mapped(body(answer(1, ENJOY), user=ADA), given) == Ignored("nothing_to_send")
    assert job_of(mapped(body(answer(1, ENJOY), answer(2, "b"), user=ADA), given)).attributes == {
        "b": "Yes"
    }


@pytest.mark.parametrize("blank", [" ", [" "], [None]])
def test_a_blank_elsewhere_erases_nothing(tmp_path: pathlib.Path, blank: Any) -> None:
    """A rule that looks elsewhere and finds a blank there has not found an answer."""
    given = config(tmp_path, 'questions.q1 = { from = "label" }\n')

    outcome = mapped(body(answer(1, ENJOY, label=blank), user=ADA), given)

    assert job_of(outcome).attributes == {}
    assert skips_of(outcome) == [("responses[0]", "not_found", False)]


def test_an_answer_elsewhere_counts_where_the_formatted_one_is_blank(
    tmp_path: pathlib.Path,
) -> None:
    """Blank choices beside it do not make the question a skipped one."""
    given = config(tmp_path, 'questions.q1 = { from = "response_int", type = "integer" }\n')

    job = job_of(mapped(body(answer(1, ENJOY, [""], response_int=4), user=ADA), given))

    assert job.attributes == {ENJOY: 4}
    assert job.events[0].properties["response"] == "4"


UNTIMED_AT = (NOON - UNTIMED).isoformat()[8:16]


@pytest.mark.parametrize(
    ("completed", "created", "job_at", "event_at"),
    [
        ("2026-11-20T09:00:00Z", "2026-11-20T08:00:00Z", "20T09:00", "20T08:00"),
        ("2026-11-20T09:00:00Z", None, "20T09:00", "20T09:00"),
        ("2026-11-20T09:00:00Z", "soon", "20T09:00", "20T09:00"),
        (None, "2026-11-20T08:00:00Z", "20T08:00", "20T08:00"),
        (None, None, UNTIMED_AT, "22T12:00"),
        ("2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z", "22T12:00", "22T12:00"),
        ("2027-01-01T00:00:00Z", "2026-11-20T08:00:00Z", "22T12:00", "20T08:00"),
        ("0001-01-01T00:00:00Z", None, UNTIMED_AT, "22T12:00"),
    ],
)
def test_times(completed: Any, created: Any, job_at: str, event_at: str) -> None:
    """Each event at its answer's time, the job at the survey's; none in the future."""
    posted = body(answer(1, ENJOY, created_at=created), completed_at=completed)

    job = job_of(mapped(posted))

    assert job.occurred_at.isoformat()[8:16] == job_at
    assert job.events[0].time.isoformat()[8:16] == event_at


def test_without_a_completion_the_newest_answer_dates_the_job() -> None:
    """In any order."""
    posted = body(answer(5, "a"), answer(9, "b"), answer(7, "c"), completed_at=None)

    assert job_of(mapped(posted)).occurred_at.minute == 9


@pytest.mark.parametrize("kind", ["survey_opened", "ping", " other "])
def test_another_event_is_ignored(kind: str) -> None:
    """With any other fields, and for any person."""
    assert mapped({"event_type": kind}) == Ignored("other_event_type")


@pytest.mark.parametrize(
    ("posted", "expected"),
    [
        ({}, ("event_type", "no_event_type")),
        ([], ("event_type", "no_event_type")),
        (None, ("event_type", "no_event_type")),
        ("survey_response", ("event_type", "no_event_type")),
        ({"event_type": ""}, ("event_type", "no_event_type")),
        ({"event_type": 1}, ("event_type", "no_event_type")),
        (
            {"event_type": "survey_response"},
            ("survey_response.responses", "no_responses"),
        ),
        (
            {"event_type": "survey_response", "survey_response": []},
            ("survey_response.responses", "no_responses"),
        ),
        (
            {"event_type": "survey_response", "survey_response": {"responses": "Yes"}},
            ("survey_response.responses", "no_responses"),
        ),
    ],
)
def test_a_body_of_another_shape_is_unmappable(posted: Any, expected: tuple[str, str]) -> None:
    """Parked, so that nothing is lost if Iterate changed its shape."""
    assert codes(mapped(posted)) == [expected]


def test_entries_that_are_no_answers_are_told() -> None:
    """The others are taken over; if none is left, the body is parked."""
    outcome = mapped(body("Yes", answer(1, ENJOY), None))

    assert job_of(outcome).attributes == {ENJOY: "Yes"}
    assert skips_of(outcome) == [
        ("responses[0]", "wrong_type", False),
        ("responses[2]", "wrong_type", False),
    ]
    assert codes(mapped(body("Yes"))) == [
        (None, "nothing_to_send"),
        ("responses[0]", "wrong_type"),
    ]


def test_reasons_are_few_enough_for_a_row(tmp_path: pathlib.Path) -> None:
    """A body and its reasons share a row of 400 KB."""
    many = [answer(n, "Must?", "ten") for n in range(1900)]

    rules = config(tmp_path, RULES + "[names]\nmost_answers = 2000\n")
    assert len(codes(mapped(body(*many, user=ADA), rules))) == 20


def test_a_survey_nobody_configured_and_one_without_an_id() -> None:
    """The defaults apply to both."""
    unknown = job_of(mapped(body(answer(1, ENJOY), survey={"id": 17})))
    without = job_of(mapped(body(answer(1, ENJOY), survey=None)))

    assert response_of(unknown) == "iterate:17:sr-1"
    assert response_of(without) == "iterate:default:sr-1"
    assert "survey_id" not in without.events[0].properties


def big_survey(count: int, name: str = "s") -> dict[str, Any]:
    """As many answers as possible: ids and texts as short as they get."""
    responses = [
        {
            "id": f"r{n}",
            "question_id": f"q{n}",
            "created_at": "2026-11-20T08:00:00Z",
            "question_prompt": f"Q{n}?",
            "formatted_response": "Y",
        }
        for n in range(count)
    ]
    return body(*responses, survey={"id": SURVEY, "name": name})


def test_1900_answers_fit_a_body_and_are_parts_of_one_job() -> None:
    """A body at the door's limit; the parts are the same in every resend and lose nothing."""
    posted = big_survey(1900, "s" * 255)
    assert len(json.dumps(posted, separators=(",", ":")).encode()) <= 262_144

    many = SHIPPED._replace(names=SHIPPED.names._replace(most_answers=1900))

    job = job_of(mapped(posted, many))
    again = job_of(mapped(posted, many, received_at=NOON + timedelta(hours=6)))
    parts = split_job(job)

    assert (len(job.attributes), len(job.events)) == (1900, 1900)
    assert len(parts) > 1
    assert [part.job_id for part in parts] == [
        f"{job.job_id}/{n}" for n in range(1, len(parts) + 1)
    ]
    assert sum(len(part.attributes) for part in parts) == 1900
    assert [event for part in parts for event in part.events] == list(job.events)
    assert [part.events for part in split_job(again)] == [part.events for part in parts]


@given(posted=iterate_bodies())
def test_every_body_has_an_outcome(posted: Any) -> None:
    """Any body becomes a job that delivery can read and Braze's limits let pass, or says why."""
    outcome = mapped(posted)

    assert mapped(posted) == outcome
    if not isinstance(outcome, Mapped):
        return
    job = outcome.job
    assert parse_job(job.to_json()) == job
    identifier = identifier_of(job.user)
    if job.attributes:
        AttributesObject(identifier, None, job.attributes).encode()
    for event in job.events:
        EventObject(identifier, None, event.name, event.time, event.properties).encode()
        assert event.time <= job.received_at
    texts = [value for value in job.attributes.values() if isinstance(value, str)]
    assert not any(looks_like_date(text) for text in texts)


@given(st.text(min_size=1).filter(str.strip))
def test_a_text_is_kept_as_a_text(text: str) -> None:
    """Within Braze's length, never a date; and changed only if it says so."""
    kept, code = braze_text(text)

    assert 0 < len(kept) <= 255
    assert not looks_like_date(kept)
    assert (kept == text) is (code is None)
    assert braze_text(kept)[0] == kept
