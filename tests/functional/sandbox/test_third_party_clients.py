"""Three Braze clients that others wrote, unmodified: every call they offer among our endpoints."""

from __future__ import annotations

import json
import os
import re
import subprocess
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import requests
from braze import Braze  # type: ignore[import-untyped]  # the package ships no types

from sandbox.braze.api import ENDPOINTS
from sandbox.stack.environments import python_of
from tests.functional.sandbox.caller import KEY, Caller
from tests.node_packages import node_packages

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["node_packages"]  # a fixture

HERE: Final = Path(__file__).parent / "clients"
SECONDS: Final = 60
ALIAS: Final = {"alias_name": "ana", "alias_label": "crm"}
SMS_GROUP: Final = "demo-sms-group"
TIME: Final = "2026-11-01T00:00:00Z"
DISPATCHED: Final = {"dispatch_id", "message"}


def run_calls(
    command: Sequence[str | Path],
    calls: Sequence[tuple[str, Any]],
    *,
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> list[Any]:
    """Make the calls in a process of the client's own.

    Returns:
        What each call returned, or the error it raised as text.
    """
    done = subprocess.run(  # noqa: S603 -- our own files
        command,
        input=json.dumps(calls),
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, **(variables or {})},
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [outcome.get("answer", outcome.get("error")) for outcome in json.loads(done.stdout)]


def called(braze: Caller) -> set[str]:
    return {row["path"] for row in braze.logged() if row["status"] < 300}


def offered(sources: Iterable[Path], pattern: str) -> set[str]:
    """Find the paths in a client's source that are endpoints of the stand-in."""
    found = {path for source in sources for path in re.findall(pattern, source.read_text("utf-8"))}
    return found & ENDPOINTS.keys()


# -- npm: braze-api --------------------------------------------------------------------------------


def braze_api(folder: Path, braze: Caller, *calls: tuple[str, Any], key: str = KEY) -> list[Any]:
    command: list[str | Path] = ["node", HERE / "braze_api.cjs", braze.url, key]
    return run_calls(command, calls, folder=folder)


def test_npm_braze_api(node_packages: Path, braze: Caller) -> None:
    """All its fifteen calls among our endpoints answer what it expects."""
    person = {"external_id": "u", "phone": "+15555550123", "score": 80}
    group = {"subscription_group_id": SMS_GROUP, "subscription_state": "subscribed"}
    renamed = {"current_external_id": "u", "new_external_id": "u2"}
    push = {"apple_push": {"alert": "hi"}}
    recipients = [{"external_user_id": "u2"}]
    updated = {"alias_label": "crm", "old_alias_name": "ana", "new_alias_name": "eva"}
    merged = {
        "identifier_to_merge": {"external_id": "v"},
        "identifier_to_keep": {"external_id": "u2"},
    }
    success = {"message": "success"}

    answers = braze_api(
        node_packages,
        braze,
        ("users.track", {"attributes": [person, {"external_id": "v", "colour": "red"}]}),
        ("users.external_ids.rename", {"external_id_renames": [renamed]}),
        ("users.external_ids.remove", {"external_ids": ["u"]}),
        ("users.alias.new", {"user_aliases": [ALIAS]}),
        ("users.alias.update", {"alias_updates": [updated]}),
        (
            "users.identify",
            {
                "aliases_to_identify": [
                    {"external_id": "u2", "user_alias": {**ALIAS, "alias_name": "eva"}}
                ]
            },
        ),
        ("users.merge", {"merge_updates": [merged]}),
        ("subscription.status.set", {**group, "external_id": ["u2"]}),
        (
            "v2.subscription.status.set",
            {"subscription_groups": [{**group, "external_ids": ["u2"]}]},
        ),
        ("subscription.status.get", {"subscription_group_id": SMS_GROUP, "external_id": "u2"}),
        ("subscription.user.status", {"external_id": "u2"}),
        ("messages.send", {"external_user_ids": ["u2"], "messages": push}),
        ("campaigns.trigger.send", {"campaign_id": "c", "recipients": recipients}),
        ("canvas.trigger.send", {"canvas_id": "c", "recipients": recipients}),
        ("users.export.ids", {"external_ids": ["u2"], "fields_to_export": ["custom_attributes"]}),
        ("users.delete", {"external_ids": ["u2"]}),
    )

    assert answers[:9] == [
        {"attributes_processed": 2, **success},
        {"external_ids": [renamed], "rename_errors": [], **success},
        {"removed_ids": ["u"], "removal_errors": [], **success},
        {"aliases_processed": 1, **success},
        {"aliases_processed": 1, **success},
        {"aliases_processed": 1, **success},
        success,
        success,
        success,
    ]
    assert answers[9]["status"] == {"u2": "Subscribed"}
    assert answers[10]["users"][0]["subscription_groups"][0]["id"] == SMS_GROUP
    assert [set(answer) for answer in answers[11:14]] == [DISPATCHED] * 3
    assert answers[14]["users"][0]["custom_attributes"] == {"score": 80, "colour": "red"}
    assert answers[15] == {"deleted": 1, **success}
    assert [message["recipients"] for message in braze.control("messages")] == [["u2"]] * 3
    source = node_packages / "node_modules" / "braze-api" / "cjs" / "Braze.js"
    assert called(braze) == offered([source], r"(?:GET|POST) (/\S+)")


def test_npm_braze_api_raises_its_own_error(node_packages: Path, braze: Caller) -> None:
    """Endpoints that the stand-in lacks, bad bodies and bad keys are its `ResponseError`."""
    errors = braze_api(
        node_packages,
        braze,
        ("campaigns.list", {}),
        ("email.bounce.remove", {"email": "a@example.com"}),
        ("messages.send", {"messages": {}}),
    )
    unknown = braze_api(node_packages, braze, ("users.delete", {"external_ids": ["u"]}), key="no")

    assert [*errors, *unknown] == [
        "ResponseError 404: Invalid URL",
        "ResponseError 404: Invalid URL",
        "ResponseError 400: No Recipients",
        "ResponseError 401: Invalid API key: no",
    ]


# -- PyPI: edx-braze-client ------------------------------------------------------------------------


def edx_folder() -> Path:
    [packages] = python_of("clients").parents[1].glob("lib/python3*/site-packages")
    return packages


def edx(braze: Caller, *calls: tuple[str, Any], key: str = KEY) -> list[Any]:
    command: list[str | Path] = [
        python_of("dev"),
        HERE / "edx_braze_client.py",
        f"{braze.url}/",
        key,
    ]
    return run_calls(command, calls, variables={"PYTHONPATH": str(edx_folder())})


def test_edx_braze_client(braze: Caller) -> None:
    """All its eleven calls work, on all nine endpoints that it knows."""
    learner = {"external_id": "7", "email": "a@example.com"}
    emails = ["a@example.com"]
    day = {"start_date": "2026-11-22", "end_date": "2026-11-23"}

    answers = edx(
        braze,
        ("track_user", {"attributes": [learner]}),
        ("get_braze_external_id", {"email": "a@example.com"}),
        ("get_braze_external_id", {"email": "nobody@example.com"}),
        ("create_braze_alias", {"emails": ["b@example.com"], "alias_label": "crm"}),
        (
            "identify_users",
            {
                "aliases_to_identify": [
                    {
                        "external_id": 8,
                        "user_alias": {"alias_label": "crm", "alias_name": "b@example.com"},
                    }
                ]
            },
        ),
        ("get_braze_external_id_batch", {"emails": ["b@example.com"], "alias_label": "crm"}),
        ("create_recipients", {"alias_label": "crm", "user_id_by_email": {"c@example.com": 9}}),
        (
            "send_email",
            {
                "emails": emails,
                "subject": "Hello",
                "body": "<p>hi</p>",
                "from_email": "Ana <ana@example.com>",
            },
        ),
        ("send_campaign_message", {"campaign_id": "c", "emails": emails}),
        ("send_canvas_message", {"canvas_id": "d", "emails": emails}),
        ("unsubscribe_user_email", {"email": emails}),
        ("retrieve_unsubscribed_emails", day),
    )
    (recipient,) = answers[6].values()
    (sent,) = edx(braze, ("send_campaign_message", {"campaign_id": "c", "recipients": [recipient]}))

    assert answers[:6] == [
        None,
        "7",
        None,
        None,
        {"aliases_processed": 1, "message": "success"},
        {"b@example.com": "8"},
    ]
    assert [set(answer) for answer in [*answers[7:10], sent]] == [DISPATCHED] * 4
    assert answers[10] == {"message": "success"}
    assert [row["email"] for row in answers[11]] == emails
    assert braze.custom("9") == {"is_enterprise_learner": True}
    assert braze.user("9")["email"] == "c@example.com"
    assert [message["what"] for message in braze.control("messages")] == ["email", "c", "d", "c"]
    constants = edx_folder() / "braze" / "constants.py"
    assert called(braze) == offered([constants], r"= '(/\S+)'")


def test_edx_braze_client_raises_its_own_errors(braze: Caller) -> None:
    """Each refusal is the client's exception of that status."""
    unauthorised = edx(braze, ("get_braze_external_id", {"email": "a@example.com"}), key="no")
    bad = edx(braze, ("identify_users", {"aliases_to_identify": [{}]}))
    braze.settings(keys={KEY: ["users.track"]})
    forbidden = edx(braze, ("unsubscribe_user_email", {"email": "a@example.com"}))
    braze.settings(keys={KEY: ["*"]}, limits={"/email/status": [0, 60]})
    limited = edx(braze, ("unsubscribe_user_email", {"email": "a@example.com"}))

    names = [error.partition(":")[0] for (error,) in (unauthorised, bad, forbidden, limited)]
    assert names == [
        "BrazeUnauthorizedError",
        "BrazeBadRequestError",
        "BrazeForbiddenError",
        "BrazeRateLimitError",
    ]


# -- PyPI: braze-client-sdk ------------------------------------------------------------------------


@pytest.fixture
def sdk(braze: Caller) -> Any:
    return Braze(host=braze.url, token=KEY)


def test_braze_client_sdk(sdk: Any, braze: Caller) -> None:
    """All its seven calls among our endpoints: tracking, aliases, identities, export, deletion."""
    updated = {"alias_label": "crm", "old_alias_name": "ana", "new_alias_name": "eva"}
    alias = {**ALIAS, "alias_name": "eva"}
    merged = {
        "identifier_to_merge": {"external_id": "v"},
        "identifier_to_keep": {"external_id": "u"},
    }

    tracked = sdk.users.track(
        {
            "attributes": [{"external_id": "v", "email": "a@example.com", "score": 80}],
            "events": [{"external_id": "v", "name": "seen", "time": TIME}],
        },
    )
    assert sdk.users.alias.new({"user_aliases": [ALIAS]})["aliases_processed"] == 1
    assert sdk.users.alias.update({"alias_updates": [updated]})["message"] == "success"
    sdk.users.identify({"aliases_to_identify": [{"external_id": "u", "user_alias": alias}]})
    assert sdk.users.merge({"merge_updates": [merged]}) == {"message": "success"}
    exported = sdk.users.export.ids(
        {
            "external_ids": ["u"],
            "fields_to_export": ["external_id", "custom_attributes", "custom_events"],
        },
    )

    assert tracked == {"attributes_processed": 1, "events_processed": 1, "message": "success"}
    (user,) = exported["users"]
    assert user["custom_attributes"] == {"score": 80}
    assert user["custom_events"][0]["count"] == 1
    assert sdk.users.delete({"external_ids": ["u"]}) == {"deleted": 1, "message": "success"}
    files = [Path(str(file.locate())) for file in distribution("braze-client-sdk").files or []]
    sources = [file for file in files if file.suffix == ".py"]
    assert called(braze) == offered(sources, r'endpoint="(/\S+)"')


def test_braze_client_sdk_raises_http_errors(sdk: Any, braze: Caller) -> None:
    """A rate limit and a bad key come out as the HTTP errors it raises."""
    braze.settings(limits={"/users/track": [0, 60]})
    with pytest.raises(requests.HTTPError, match="429"):
        sdk.users.track({"attributes": [{"external_id": "u"}]})

    sdk.token = "wrong"
    with pytest.raises(requests.HTTPError, match="401"):
        sdk.users.track({"attributes": [{"external_id": "u"}]})
