"""What a request meets before its body is looked at (reference §1.1, §1.2, §1.8, §6)."""

import socket
from typing import Any

import pytest

from tests.functional.sandbox.caller import KEY, TIMEOUT, Caller

ENDPOINTS = {
    "/users/track": ("POST", "users.track"),
    "/users/export/ids": ("POST", "users.export.ids"),
    "/users/alias/new": ("POST", "users.alias.new"),
    "/users/identify": ("POST", "users.identify"),
    "/users/merge": ("POST", "users.merge"),
    "/users/delete": ("POST", "users.delete"),
    "/subscription/status/set": ("POST", "subscription.status.set"),
    "/v2/subscription/status/set": ("POST", "subscription.status.set"),
    "/subscription/status/get": ("GET", "subscription.status.get"),
    "/subscription/user/status": ("GET", "subscription.groups.get"),
    "/kpi/mau/data_series": ("GET", "kpi.mau.data_series"),
    "/kpi/dau/data_series": ("GET", "kpi.dau.data_series"),
    "/kpi/new_users/data_series": ("GET", "kpi.new_users.data_series"),
    "/users/alias/update": ("POST", "users.alias.update"),
    "/users/external_ids/rename": ("POST", "users.external_ids.rename"),
    "/users/external_ids/remove": ("POST", "users.external_ids.remove"),
    "/email/status": ("POST", "email.status"),
    "/email/unsubscribes": ("GET", "email.unsubscribe"),
    "/events/list": ("GET", "events.list"),
    "/custom_attributes": ("GET", "custom_attributes.get"),
    "/messages/send": ("POST", "messages.send"),
    "/campaigns/trigger/send": ("POST", "campaigns.trigger.send"),
    "/canvas/trigger/send": ("POST", "canvas.trigger.send"),
}
EVERY = sorted({permission for _, permission in ENDPOINTS.values()})


@pytest.mark.parametrize(("path", "method"), [(p, m) for p, (m, _) in ENDPOINTS.items()])
def test_unknown_key_is_401_and_echoed(braze: Caller, path: str, method: str) -> None:
    """A key that does not exist is answered 401 with the key in the message, whatever the body."""
    answer = braze.session.request(
        method,
        braze.url + path,
        data=b"not json",
        headers={"Authorization": "Bearer wrong-key"},
        timeout=TIMEOUT,
    )

    assert answer.status_code == 401
    assert answer.json() == {"message": "Invalid API key: wrong-key"}


def test_401_has_empty_rate_limit_headers(braze: Caller) -> None:
    """On a 401 the three rate-limit headers are present and empty."""
    answer = braze.post("/users/track", {}, key="wrong")

    names = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
    assert [answer.headers[name] for name in names] == ["", "", ""]


@pytest.mark.parametrize("header", [None, "Basic abc", f'Bearer "{KEY}"', f"Bearer {KEY.upper()}"])
def test_key_is_exact(braze: Caller, header: str | None) -> None:
    """A missing header, another scheme, quotes or another case of the key are all 401."""
    headers = {} if header is None else {"Authorization": header}

    assert braze.post("/users/track", {}, key=None, headers=headers).status_code == 401


def test_bearer_and_header_names_ignore_case(braze: Caller) -> None:
    """The header's name and the word Bearer may be written in any case."""
    answer = braze.post(
        "/users/track",
        {"attributes": [{"external_id": "u"}]},
        key=None,
        headers={"aUTHORIZATION": f"bEARER {KEY}"},
    )

    assert answer.status_code == 201


def test_key_in_the_body_is_not_a_key(braze: Caller) -> None:
    """An `api_key` in the body, as very old clients send it, does not open anything."""
    assert braze.post("/users/track", {"api_key": KEY}, key=None).status_code == 401


@pytest.mark.parametrize(
    ("path", "method", "permission"),
    [(p, m, permission) for p, (m, permission) in ENDPOINTS.items()],
)
def test_missing_permission_is_403(
    braze: Caller,
    path: str,
    method: str,
    permission: str,
) -> None:
    """A key with every permission but the endpoint's own gets a 403 before its body is read."""
    others = [name for name in EVERY if name != permission]
    braze.settings(keys={"narrow": others, "one": [permission]})

    def call(key: str) -> int:
        return braze.session.request(
            method,
            braze.url + path,
            data=b"not json",
            headers={"Authorization": f"Bearer {key}"},
            timeout=TIMEOUT,
        ).status_code

    assert call("narrow") == 403
    assert call("one") in {200, 400, 415}


@pytest.mark.parametrize(
    ("make", "status"),
    [
        pytest.param(lambda b: b.post("/users/track/", {}), 403, id="403"),
        pytest.param(lambda b: b.post("/users/track", data=b"{}"), 415, id="415"),
        pytest.param(
            lambda b: b.post(
                "/users/track",
                data=b" " * 4_000_001,
                headers={"Content-Type": "application/json"},
            ),
            413,
            id="413",
        ),
    ],
)
def test_undocumented_bodies_are_not_json(braze: Caller, make: Any, status: int) -> None:
    """Where no page shows a refusal's body, it is HTML: a client must live by the status."""
    answer = make(braze)

    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith("text/html")
    with pytest.raises(ValueError, match="Expecting value"):
        answer.json()


def test_trailing_slash_is_403_after_the_key(braze: Caller) -> None:
    """A trailing slash is a 403 for a good key and a 401 for a bad one."""
    assert braze.post("/users/track/", {}).status_code == 403
    assert braze.post("/users/track/", {}, key="wrong").status_code == 401


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "PROPFIND"])
def test_wrong_method_is_404(braze: Caller, method: str) -> None:
    """Another method than the endpoint's is an invalid URL."""
    answer = braze.session.request(
        method,
        f"{braze.url}/users/track",
        headers={"Authorization": f"Bearer {KEY}"},
        timeout=TIMEOUT,
    )

    assert answer.status_code == 404


@pytest.mark.parametrize("path", ["/users/nothing", "/users", "/", "//users/track", "/USERS/track"])
def test_unknown_path_is_404(braze: Caller, path: str) -> None:
    """A path that Braze does not have is a 404 in JSON, so that a client raises its own error."""
    answer = braze.post(path, {}, key="wrong")

    assert answer.status_code == 404
    assert answer.json() == {"message": "Invalid URL"}


@pytest.mark.parametrize(
    "content_type",
    [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp"],
)
def test_wrong_content_type_is_415(braze: Caller, content_type: str | None) -> None:
    """A body that does not call itself `application/json` is refused with 415."""
    headers = {} if content_type is None else {"Content-Type": content_type}

    assert braze.post("/users/track", data=b"{}", headers=headers).status_code == 415


def test_content_type_may_have_parameters(braze: Caller) -> None:
    """`application/json; charset=utf-8`, in any case, is JSON."""
    answer = braze.post(
        "/users/track",
        data=b'{"attributes":[{"external_id":"u"}]}',
        headers={"Content-Type": "Application/JSON; charset=utf-8"},
    )

    assert answer.status_code == 201


def test_body_over_4_mb_is_413(braze: Caller) -> None:
    """A body of 4,000,000 bytes passes and one byte more is a 413."""
    body = b'{"attributes":[{"external_id":"u"}]}'
    headers = {"Content-Type": "application/json"}

    fits = braze.post("/users/track", data=body.ljust(4_000_000), headers=headers)
    too_long = braze.post("/users/track", data=body.ljust(4_000_001), headers=headers)

    assert (fits.status_code, too_long.status_code) == (201, 413)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"attributes":[],}',
        b'{"a":NaN}',
        b"\xff\xfe",
        b'{"a":"\\ud800"}',
        b"[" * 10_000,
        b'{"a":' + b"9" * 5_000 + b"}",
    ],
    ids=["empty", "cut", "comma", "nan", "utf-8", "surrogate", "deep", "digits"],
)
def test_invalid_json_is_400_with_error(braze: Caller, body: bytes) -> None:
    """JSON that cannot be parsed is a 400 whose text is under `error`, not under `message`."""
    answer = braze.post("/users/track", data=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == 400
    assert answer.json() == {
        "error": "Error while parsing request body. Please check your syntax.",
    }


@pytest.mark.parametrize("body", [[], "text", 5, None])
@pytest.mark.parametrize("path", [p for p, (method, _) in ENDPOINTS.items() if method == "POST"])
def test_json_that_is_no_object_is_400(braze: Caller, path: str, body: Any) -> None:
    """A JSON body that is not an object is a 400 at every endpoint."""
    answer = braze.post(
        path,
        data="null" if body is None else str(body).replace("text", '"text"'),
        headers={"Content-Type": "application/json"},
    )

    assert answer.status_code == 400


def test_header_names_are_lower_case(braze: Caller) -> None:
    """All header names come in lower case."""
    host, port = braze.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(
            b"POST /users/track HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Authorization: Bearer the-key\r\nContent-Length: 0\r\n\r\n",
        )
        raw = b""
        while b"\r\n\r\n" not in raw:
            raw += connection.recv(65_536)

    names = [line.partition(b":")[0] for line in raw.split(b"\r\n\r\n")[0].split(b"\r\n")[1:]]
    assert b"x-ratelimit-limit" in names
    assert names == [name.lower() for name in names]
