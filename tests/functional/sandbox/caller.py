"""A caller that knows nothing of our own client: plain HTTP, as the reference writes it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests

KEY = "the-key"
TIMEOUT = (2, 10)
NOW = 1_795_348_800.0
"""2026-11-22T12:00:00Z."""
EVERY_FIELD = (
    "braze_id",
    "country",
    "created_at",
    "custom_attributes",
    "custom_events",
    "dob",
    "email",
    "email_subscribe",
    "external_id",
    "first_name",
    "gender",
    "home_city",
    "language",
    "last_coordinates",
    "last_name",
    "phone",
    "purchases",
    "push_subscribe",
    "random_bucket",
    "time_zone",
    "total_revenue",
    "user_aliases",
)


@dataclass
class SteppingClock:
    """Epoch seconds that stand still until they are moved."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Caller:
    """Calls one sandbox, with the key that may do everything unless told otherwise."""

    url: str
    clock: SteppingClock
    session: requests.Session = field(default_factory=requests.Session)

    def post(
        self,
        path: str,
        body: Any = None,
        *,
        key: str | None = KEY,
        **options: Any,
    ) -> requests.Response:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        headers |= options.pop("headers", {})
        if "data" not in options:
            options["json"] = body
        return self.session.post(self.url + path, headers=headers, timeout=TIMEOUT, **options)

    def get(self, path: str, **query: Any) -> requests.Response:
        return self.session.get(
            self.url + path,
            params=query,
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=TIMEOUT,
        )

    def track(self, **arrays: Any) -> requests.Response:
        return self.post("/users/track", arrays)

    def attributes(self, *objects: Any) -> requests.Response:
        return self.track(attributes=list(objects))

    def event(self, **event: Any) -> requests.Response:
        return self.track(events=[{"name": "answered", "time": "2026-11-01T10:00:00Z", **event}])

    def export(self, **body: Any) -> list[dict[str, Any]]:
        answer = self.post("/users/export/ids", {"fields_to_export": EVERY_FIELD, **body})
        assert answer.status_code == 201, answer.text
        users: list[dict[str, Any]] = answer.json()["users"]
        return users

    def user(self, external_id: str) -> dict[str, Any]:
        (user,) = self.export(external_ids=[external_id])
        return user

    def custom(self, external_id: str) -> dict[str, Any]:
        custom: dict[str, Any] = self.user(external_id).get("custom_attributes", {})
        return custom

    def control(self, name: str, body: Any = None) -> Any:
        url = f"{self.url}/_sandbox/{name}"
        if body is None:
            answer = self.session.get(url, timeout=TIMEOUT)
        else:
            answer = self.session.post(url, json=body, timeout=TIMEOUT)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def settings(self, **settings: Any) -> None:
        self.control("settings", settings)

    def fault(self, **fault: Any) -> None:
        self.control("faults", fault)

    def profiles(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.control("profiles")
        return found

    def profile(self, external_id: str) -> dict[str, Any]:
        (profile,) = (p for p in self.profiles() if p.get("external_id") == external_id)
        return profile

    def dropped(self) -> list[tuple[str, int, str | None]]:
        """Where something was dropped: array, index, field."""
        return [(d["input_array"], d["index"], d["field"]) for d in self.control("dropped")]

    def logged(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.control("requests")
        return rows

    def status(self, group: str, **who: Any) -> Any:
        answer = self.get("/subscription/status/get", subscription_group_id=group, **who)
        assert answer.status_code == 200, answer.text
        return answer.json()["status"]

    def subscribe(self, group: str, **more: Any) -> requests.Response:
        body = {"subscription_group_id": group, "subscription_state": "subscribed", **more}
        return self.post("/subscription/status/set", body)


def people(count: int, **more: Any) -> Sequence[dict[str, Any]]:
    """So many attributes objects, each for another user."""
    return [{"external_id": f"user-{number}", **more} for number in range(count)]


def types_in(answer: requests.Response) -> Iterator[tuple[str, int]]:
    """Which objects an answer names."""
    return ((error["input_array"], error["index"]) for error in answer.json().get("errors", []))
