"""The partners as the commands know them: one table, and the only place to add a partner to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from braze_bridge.clock import iso_millis
from braze_bridge.iterate_config import load_iterate
from braze_bridge.outgrow_config import load_outgrow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from braze_bridge.mapping.people import PersonRule
    from braze_bridge.partner_config import DoorConfig
    from ops.secrets import SecretName

TEST_PERSON: Final = "bridge-verify"
TEST_EMAIL: Final = "bridge-verify@example.com"
"""Whom test responses are about: always the same, so that a workspace gets one test profile and not
one each time. The address is of a domain that nobody can own (RFC 2606)."""


class Url(NamedTuple):
    """Something to paste at the partner.

    Attributes:
        path: Below the API's URL.
        purpose: What for, in a few words.
    """

    path: str
    purpose: str


class TestResponse(NamedTuple):
    """What makes one test response differ from another.

    Attributes:
        mark: Its id, so that it is no duplicate.
        at: When it was "given".
        score: The answer to look for.
    """

    mark: str
    at: datetime
    score: int


class Partner(NamedTuple):
    """One partner.

    Attributes:
        title: As people write it.
        secret: Of the token that it sends.
        urls: What it may post to; the first is what a test response is posted to.
        has_contents: Whether a content's name may follow that.
        door: Reads the door's switches out of the configuration's folder; raises ``ConfigError``.
        test_body: A body as the partner would send it, about the test person.
        person_rules: Every place where its bodies may name their person, by the configuration's
            folder; raises ``ConfigError``.
    """

    title: str
    secret: SecretName
    urls: tuple[Url, ...]
    has_contents: bool
    door: Callable[[Path], DoorConfig]
    test_body: Callable[[TestResponse], dict[str, Any]]
    person_rules: Callable[[Path], tuple[PersonRule, ...]]

    def route(self, content: str | None) -> str:
        """Where a body is posted to: of any content, or of one."""
        path = self.urls[0].path
        return path if content is None else f"{path}/{content}"


def _outgrow_test(response: TestResponse) -> dict[str, Any]:
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


def _iterate_test(response: TestResponse) -> dict[str, Any]:
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


PARTNERS: Final[Mapping[str, Partner]] = {
    "outgrow": Partner(
        title="Outgrow",
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
        secret="iterate",  # noqa: S106 - a name
        urls=(Url("/iterate", "every survey"),),
        has_contents=False,
        door=lambda directory: load_iterate(directory).door,
        test_body=_iterate_test,
        person_rules=_iterate_people,
    ),
}
"""By ``DeliveryJob.source``, which is also the name on the command line."""
