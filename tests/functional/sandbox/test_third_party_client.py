"""A Braze client from the package index, unmodified, against the stand-in."""

from typing import Any

import pytest
import requests
from braze import Braze  # type: ignore[import-untyped]  # the package ships no types

from tests.functional.sandbox.caller import KEY, Caller

ALIAS = {"alias_name": "ana", "alias_label": "email"}


@pytest.fixture
def client(braze: Caller) -> Any:
    return Braze(host=braze.url, token=KEY)


def test_track_and_export(client: Any, braze: Caller) -> None:
    """What it tracks, it exports."""
    tracked = client.users.track(
        {
            "attributes": [{"external_id": "u", "email": "a@example.com", "score": 80}],
            "events": [{"external_id": "u", "name": "seen", "time": "2026-11-01T00:00:00Z"}],
        },
    )

    exported = client.users.export.ids(
        {
            "external_ids": ["u"],
            "fields_to_export": ["external_id", "custom_attributes", "custom_events"],
        },
    )

    assert tracked == {"attributes_processed": 1, "events_processed": 1, "message": "success"}
    (user,) = exported["users"]
    assert user["custom_attributes"] == {"score": 80}
    assert user["custom_events"][0]["count"] == 1
    assert len(braze.logged()) == 2


def test_alias_identify_merge_delete(client: Any, braze: Caller) -> None:
    """Its whole way through identities works: alias, identification, merge, deletion."""
    assert client.users.alias.new({"user_aliases": [ALIAS]})["aliases_processed"] == 1
    client.users.identify({"aliases_to_identify": [{"external_id": "u", "user_alias": ALIAS}]})
    braze.attributes({"external_id": "v", "score": 1})
    client.users.merge(
        {
            "merge_updates": [
                {
                    "identifier_to_merge": {"external_id": "v"},
                    "identifier_to_keep": {"external_id": "u"},
                },
            ],
        },
    )
    merged = braze.custom("u")

    assert merged == {"score": 1}
    assert client.users.delete({"external_ids": ["u", "v"]}) == {
        "deleted": 2,
        "message": "success",
    }


def test_refusals_reach_it_as_errors(client: Any, braze: Caller) -> None:
    """A rate limit and a bad key come out as the HTTP errors it raises."""
    braze.settings(limits={"/users/track": [0, 60]})
    with pytest.raises(requests.HTTPError, match="429"):
        client.users.track({"attributes": [{"external_id": "u"}]})

    client.token = "wrong"
    with pytest.raises(requests.HTTPError, match="401"):
        client.users.track({"attributes": [{"external_id": "u"}]})
