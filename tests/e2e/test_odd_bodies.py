"""Bodies as people really send them, through the real API: what reaches Braze, by kind."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.e2e.test_first_light import CALL_SECONDS, control, wait_for
from tests.e2e.test_guarantees import wait_until_idle
from tests.fakes.iterate import answer, body

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.stack.stack_file import StackFile

Profile = dict[str, Any]
SCORE = "outgrow_quiz_score"
UNKNOWN_BRAZE_ID = "f" * 24
CONSENT = {"given_at": "2026-11-21 18:30:00 UTC", "method": "checkbox", "text": "terms-1"}


@pytest.fixture(autouse=True)
def clean(stack: StackFile) -> Iterator[None]:
    """An empty Braze before; afterwards no job on its way into the next test's."""
    control(stack, "reset", {})
    yield
    wait_until_idle(stack)


def fresh(name: str = "p") -> str:
    """An address that no earlier run has used: tables outlive a test."""
    return f"{name}.{secrets.token_hex(5)}@example.com"


def post(stack: StackFile, path: str, posted: Any, status: int = 200) -> Any:
    """Post JSON, or a text as it is, with the route's own token."""
    partner = "braze_webhook" if path == "/quikly/webhook" else path.split("/")[1]
    sent = {"data": posted.encode()} if isinstance(posted, str) else {"json": posted}
    answered = requests.post(
        stack.api_url + path,
        headers={
            "Authorization": f"Bearer {stack.tokens[partner]}",
            "Content-Type": "application/json",
        },
        timeout=CALL_SECONDS,
        **sent,
    )
    assert answered.status_code == status, answered.text
    return answered.json()


def quiz(**fields: Any) -> dict[str, Any]:
    return {"response_id": secrets.token_hex(6), "created_at": "2026-11-20T12:00:00Z"} | fields


def settled(stack: StackFile, count: int) -> list[Profile]:
    """The profiles when so many are there and no job is left."""
    profiles: list[Profile] = []

    def is_there() -> bool:
        profiles[:] = control(stack, "profiles")
        return len(profiles) >= count

    wait_for(is_there, 60)
    wait_until_idle(stack)
    profiles[:] = control(stack, "profiles")
    assert len(profiles) == count
    return profiles


@pytest.mark.parametrize("placeholder", ["undefined", "[object Object]", "N/A", 0, "\u200b-"])
def test_1_two_people_with_one_placeholder_are_two_profiles(
    stack: StackFile, placeholder: Any
) -> None:
    """The next identifier counts, at each door."""
    one, two, three = fresh("one"), fresh("two"), fresh("three")
    post(stack, "/outgrow", quiz(external_id=placeholder, email=one, score=1))
    post(
        stack, "/iterate", body(answer(1, "Why?"), user={"external_id": placeholder, "email": two})
    )
    post(
        stack,
        "/quikly/webhook",
        {"q_scope": "demo-first", "event": "demo-action", "email": three}
        | {"external_id": str(placeholder)},
    )

    assert {each.get("email") for each in settled(stack, 3)} == {one, two, three}


def test_2_a_response_that_comes_again_with_more_updates_and_counts_once(stack: StackFile) -> None:
    """First the lead, then the score, then the same again: one event, the last attributes."""
    lead = {"id": secrets.token_hex(6), "created_at": "2026-11-20T12:00:00Z", "email": fresh()}
    for posted in (lead | {"segment": "Starter"}, lead | {"segment": "Starter", "score": 64}):
        post(stack, "/outgrow/demo", posted)
        wait_until_idle(stack)
    post(stack, "/outgrow/demo", lead | {"segment": "Starter", "score": 64})

    [person] = settled(stack, 1)
    assert person["custom_attributes"] == {SCORE: 64, "outgrow_custom_segment": "Starter"}
    assert [each["name"] for each in person["events"]] == ["outgrow_completed"]


def test_2_an_iterate_response_that_comes_again_with_more_adds_the_new_answer(
    stack: StackFile,
) -> None:
    """The event of the first answer counts once, that of the second is new."""
    user, response = {"email": fresh()}, secrets.token_hex(6)
    first, second = answer(1, "Why?", "Price"), answer(2, "And?", "Colour")
    for answers in ((first,), (first, second), (first, second)):
        post(stack, "/iterate", body(*answers, user=user, id=response))
        wait_until_idle(stack)

    [person] = settled(stack, 1)
    assert person["custom_attributes"] == {"Why?": "Price", "And?": "Colour"}
    assert [each["properties"]["response"] for each in person["events"]] == ["Price", "Colour"]


@pytest.mark.parametrize(
    "late",
    [
        "2026-11-20 09:00:00 UTC",
        "Fri, 20 Nov 2026 09:00:00 GMT",
        "20 Nov 2026 04:00:00 -0500",
        "1795165200.123",
        "2026-11-20T09:00:00+0000",
    ],
)
def test_3_a_late_answer_never_overwrites_a_newer_one(stack: StackFile, late: str) -> None:
    """Each spelling of its time is read."""
    email = fresh()
    post(stack, "/outgrow", quiz(email=email, score=90))
    settled(stack, 1)
    post(stack, "/outgrow", quiz(email=email, score=10, created_at=late))

    [person] = settled(stack, 1)
    assert person["custom_attributes"] == {SCORE: 90}


def test_4_one_number_in_four_spellings_is_one_person(stack: StackFile) -> None:
    """One profile from a quiz; one acquisition, one credit."""
    digits = f"{secrets.randbelow(10**7):07d}"
    number = f"+49170{digits}"
    spellings = [
        number,
        f"+49 0170 {digits}",
        f"+49 (0)170-{digits}",
        f"\uff0b49 170 {digits}\u00a0",
    ]
    for each in spellings:
        post(stack, "/outgrow", quiz(phone=each, score=5))
    [person] = settled(stack, 1)
    assert person["phone"] == number

    sign_up = {"q_scope": "demo-sms", "channel": "sms", "consent": CONSENT}
    taken = [
        post(stack, "/quikly/acquisitions", sign_up | {"phone": each}, 202) for each in spellings
    ]
    assert len({each["acquisition_id"] for each in taken}) == 1

    def told() -> list[Any]:
        calls = control(stack, "quikly")["calls"]
        return [call for call in calls if number in call["body"]]

    assert wait_for(lambda: bool(told()), 60)
    wait_until_idle(stack)
    assert (len(told()), len(control(stack, "profiles"))) == (1, 1)


def test_5_and_6_what_is_around_an_id_or_a_number_does_not_count(stack: StackFile) -> None:
    """Spaces, line ends, no-break and zero-width spaces."""
    id_ = f"crm-{secrets.token_hex(4)}"
    for number, spelling in enumerate((id_, f"{id_} ", f"{id_}\n", f"\u00a0{id_}", f"{id_}\u200b")):
        at = f"2026-11-20T12:00:0{number}Z"
        post(stack, "/outgrow", quiz(external_id=spelling, score=f" {80 + number} ", created_at=at))

    [person] = settled(stack, 1)
    assert (person["external_id"], person["custom_attributes"]) == (id_, {SCORE: 84})


def test_7_a_form_with_blanks_loses_no_sign_up(stack: StackFile) -> None:
    """Blanks are no answer, common words are mapped, what does not fit is named."""
    email = fresh()
    attributes = {"first_name": "Ada", "last_name": "", "dob": None}
    attributes |= {"gender": "female", "country": "Germany", "language": "Klingonish"}
    taken = post(
        stack,
        "/quikly/acquisitions",
        {"q_scope": "demo-email", "channel": "email", "email": email, "phone": ""}
        | {"consent": CONSENT, "attributes": attributes, "idempotency_key": "null"},
        202,
    )

    assert taken["warnings"] == [{"code": "not_allowed", "field": "attributes.language"}]
    [person] = settled(stack, 1)
    assert [person.get(name) for name in ("first_name", "last_name", "gender", "country")] == [
        *("Ada", None, "F", "DE")
    ]


def test_8_half_an_emoji_loses_no_answer(stack: StackFile) -> None:
    """U+FFFD takes its place."""
    email = fresh()
    post(stack, "/outgrow", f'{{"email": "{email}", "segment": "Great \\ud83d"}}')

    [person] = settled(stack, 1)
    assert person["custom_attributes"] == {"outgrow_custom_segment": "Great \ufffd"}


@pytest.mark.parametrize("braze_id", [UNKNOWN_BRAZE_ID, "not-a-braze-id"])
def test_9_a_braze_id_that_braze_does_not_know_swallows_nothing(
    stack: StackFile, braze_id: str
) -> None:
    """The e-mail address beside it counts, at each door."""
    one, two, three = fresh("one"), fresh("two"), fresh("three")
    user = {"user_braze_id": braze_id, "email": one}
    post(stack, "/iterate", body(answer(1, "Why?"), user=user))
    post(
        stack,
        "/quikly/webhook",
        {"q_scope": "demo-first", "event": "demo-action", "email": two, "braze_id": braze_id},
    )
    post(
        stack,
        "/quikly/events",
        {"q_scope": "demo-speed", "event": "completed", "event_id": secrets.token_hex(6)}
        | {"email": three, "braze_id": braze_id},
    )

    assert {each.get("email") for each in settled(stack, 3)} == {one, two, three}


def test_10_one_prompt_in_both_forms_of_unicode_is_one_attribute(stack: StackFile) -> None:
    """The names are composed."""
    email = fresh()
    for number, prompt in enumerate(("Caf\u00e9?", "Cafe\u0301?")):
        post(stack, "/iterate", body(answer(number, prompt, str(number)), user={"email": email}))
        wait_until_idle(stack)

    [person] = settled(stack, 1)
    assert list(person["custom_attributes"]) == ["Caf\u00e9?"]


def test_11_an_address_beside_an_external_id_is_not_written_by_default(stack: StackFile) -> None:
    """Otherwise anyone who answers a quiz could change a known person's address."""
    post(stack, "/outgrow", quiz(external_id=f"c-{secrets.token_hex(4)}", email=fresh(), score=3))

    [person] = settled(stack, 1)
    assert person.get("email") is None


def test_12_the_stand_in_takes_what_recorded_braze_takes(stack: StackFile) -> None:
    """Numbers as ids, and a time with spaces around its offset."""
    at = {"external_id": 1, "time": "2019-02-15 00:00:00 -0500"}
    answered = requests.post(
        f"{stack.braze_url}/users/track",
        json={
            "attributes": [{"external_id": 1, "plan": "a"}],
            "events": [{"name": "answered", **at}],
            "purchases": [{"product_id": 1, "currency": "EUR", "price": 1.5, **at}],
        },
        headers={"Authorization": f"Bearer {stack.braze_api_key}"},
        timeout=CALL_SECONDS,
    )

    assert (answered.status_code, "errors" in answered.json()) == (201, False)
    [person] = settled(stack, 1)
    assert person["external_id"] == "1"
