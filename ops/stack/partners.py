"""The partners as the commands know them: one table, the only place to add a partner."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from braze_bridge.clock import iso_millis
from braze_bridge.partner_config.rules import DoorConfig
from braze_bridge.partner_config.toml_files import load_iterate, load_outgrow, load_quikly

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from braze_bridge.mapping.people import PersonRule
    from ops.stack.secret_names import SecretName

TEST_PERSON: Final = "bridge-verify"
TEST_EMAIL: Final = "bridge-verify@example.com"
"""The test person, always the same, so that a workspace gets only one test profile. RFC 2606
reserves the address's domain."""

TEST_EVENT: Final = "tier_reached"
NO_ACQUISITION: Final = "bridge-verify-nobody"
"""Has the form of an acquisition's id; real ids are random."""


class Url(NamedTuple):
    """A URL to paste at the partner.

    Attributes:
        path: Below the API's URL.
        purpose: For people, in a few words.
    """

    path: str
    purpose: str


class TrialResponse(NamedTuple):
    """What differs between two test responses.

    Attributes:
        mark: Its id, so that it is no duplicate.
        at: The time of the answer.
        score: The answer to look for.
    """

    mark: str
    at: datetime
    score: int


class Ask(NamedTuple):
    """A call that changes nothing; its answer shows that API, token and function work.

    Attributes:
        path: Below the API's URL.
        body: Posted as JSON; ``None``: the path is read.
        status: Of the expected answer.
        code: Of its first reason.
        proves: What that shows, for people.
    """

    path: str
    body: Mapping[str, str] | None
    status: HTTPStatus
    code: str
    proves: str


class Partner(NamedTuple):
    """One partner, or another sender with a token of its own.

    Functions that take the configuration's folder raise ``ConfigError``.

    Attributes:
        title: As people write it.
        source: ``DeliveryJob.source`` of its mapped bodies.
        secret: Of the token that it sends.
        urls: What it may post to; a test response is posted to the first.
        has_contents: Whether a content's name may follow that.
        door: Reads the authentication settings from the configuration's folder.
        test_body: Makes a body as the partner would send it, about the test person; ``None`` if
            every accepted body has lasting effects.
        person_rules: Every path at which its bodies may name their person.
        asks: Further calls to try.
    """

    title: str
    source: str
    secret: SecretName
    urls: tuple[Url, ...]
    has_contents: bool
    door: Callable[[Path], DoorConfig]
    test_body: Callable[[TrialResponse, Path], dict[str, Any]] | None
    person_rules: Callable[[Path], tuple[PersonRule, ...]]
    asks: tuple[Ask, ...] = ()

    def route(self, content: str | None) -> str:
        """Return the route of a body of any content, or of one."""
        path = self.urls[0].path
        return path if content is None else f"{path}/{content}"


def _outgrow_test(response: TrialResponse, _: Path) -> dict[str, Any]:
    return {
        "response_id": response.mark,
        "created_at": iso_millis(response.at),
        "external_id": TEST_PERSON,
        "email": TEST_EMAIL,
        "score": response.score,
        "segment": f"verify {response.mark[-8:]}",
    }


def _outgrow_people(directory: Path) -> tuple[PersonRule, ...]:
    config = load_outgrow(directory)
    return (config.default.person, *(rule.person for rule in config.content.values()))


def _iterate_test(response: TrialResponse, _: Path) -> dict[str, Any]:
    at = iso_millis(response.at)
    return {
        "event_type": "survey_response",
        "survey_response": {
            "id": response.mark,
            "completed_at": at,
            "survey": {"id": "bridge-verify", "name": "bridge verify"},
            "user": {"external_id": TEST_PERSON, "email": TEST_EMAIL},
            "responses": [
                {
                    "id": f"{response.mark}-1",
                    "question_id": "bridge-verify",
                    "created_at": at,
                    "question_prompt": "bridge verify",
                    "formatted_response": f"score {response.score} {response.mark[-8:]}",
                }
            ],
        },
    }


def _iterate_people(directory: Path) -> tuple[PersonRule, ...]:
    config = load_iterate(directory)
    return (config.default.person, *(rule.person for rule in config.surveys.values()))


def _quikly_test(response: TrialResponse, directory: Path) -> dict[str, Any]:
    """Make an activation event of the first activation in the file."""
    config = load_quikly(directory)
    known = (*config.events.scopes, *config.activations, *config.acquisitions, TEST_PERSON)
    q_scope = known[0]
    wanted = [event for event, rule in config.events.rules_for(q_scope).items() if rule]
    return {
        "q_scope": q_scope,
        # Its attributes show the mark, so that they differ from those of the test before.
        "event": TEST_EVENT if TEST_EVENT in wanted else next(iter(wanted), TEST_EVENT),
        "event_id": response.mark,
        "occurred_at": iso_millis(response.at),
        "external_id": TEST_PERSON,
        "email": TEST_EMAIL,
        "properties": {
            "tier": f"verify {response.mark[-8:]}",
            "incentive": "bridge verify",
            "rank": response.score,
        },
    }


def _quikly_people(directory: Path) -> tuple[PersonRule, ...]:
    return (load_quikly(directory).events.person,)


PARTNERS: Final[Mapping[str, Partner]] = {
    "outgrow": Partner(
        title="Outgrow",
        source="outgrow",
        secret="outgrow",  # noqa: S106 - a name
        urls=(
            Url("/outgrow", "any content"),
            Url("/outgrow/CONTENT", "one content: its name from outgrow.toml in place of CONTENT"),
        ),
        has_contents=True,
        door=lambda directory: load_outgrow(directory).door,
        test_body=_outgrow_test,
        person_rules=_outgrow_people,
    ),
    "iterate": Partner(
        title="Iterate",
        source="iterate",
        secret="iterate",  # noqa: S106 - a name
        urls=(Url("/iterate", "every survey"),),
        has_contents=False,
        door=lambda directory: load_iterate(directory).door,
        test_body=_iterate_test,
        person_rules=_iterate_people,
    ),
    "quikly": Partner(
        title="Quikly",
        source="quikly_events",
        secret="quikly",  # noqa: S106 - a name
        urls=(
            Url("/quikly/events", "activation events"),
            Url("/quikly/acquisitions", "sign-ups; with /ID behind it (GET): the state of one"),
        ),
        has_contents=False,
        door=lambda directory: load_quikly(directory).door,
        test_body=_quikly_test,
        person_rules=_quikly_people,
        asks=(
            Ask(
                f"/quikly/acquisitions/{NO_ACQUISITION}",
                None,
                HTTPStatus.NOT_FOUND,
                "not_found",
                "acquisitions can be read (no person was signed up)",
            ),
        ),
    ),
    "braze-webhook": Partner(
        title="Braze's webhook campaigns",
        source="quikly_webhook",
        secret="braze-webhook",  # noqa: S106 - a name
        urls=(Url("/quikly/webhook", "a webhook campaign; its body is in docs/quikly/"),),
        has_contents=False,
        door=lambda _: DoorConfig(allow_query_token=False),
        # A claim is final, and uses up a reward.
        test_body=None,
        person_rules=lambda _: (),
        asks=(
            Ask(
                "/quikly/webhook",
                {"q_scope": TEST_PERSON, "event": TEST_PERSON, "email": TEST_EMAIL},
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "unknown",
                "the webhook takes the token and reads its activations (nothing was claimed)",
            ),
        ),
    ),
}
"""By the name on the command line."""

BY_SOURCE: Final[Mapping[str, Partner]] = {each.source: each for each in PARTNERS.values()}
