"""Random sequences of track calls against a few lines that say the documented rules again."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.functional.sandbox.caller import Caller

EMAILS = st.sampled_from(["a@example.com", "b@example.com"])
ALIASES = st.sampled_from(["x", "y"])
WHO: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries({"external_id": st.sampled_from("pq")}, optional={"email": EMAILS}),
    st.fixed_dictionaries({"email": EMAILS}),
    st.fixed_dictionaries(
        {"user_alias": ALIASES.map(lambda name: {"alias_name": name, "alias_label": "l"})},
        optional={"email": EMAILS},
    ),
    st.fixed_dictionaries({"external_id": st.just("p"), "user_alias": st.just({})}),
    st.just({}),
)
FLAG = st.fixed_dictionaries({}, optional={"_update_existing_only": st.booleans()})
VALUES = st.one_of(
    st.none(),
    st.integers(-5, 5),
    st.booleans(),
    st.sampled_from(["", "text", "80", "x" * 256]),
    st.lists(st.sampled_from(["a", "b", "c"]), max_size=4),
)
CHANGES = st.one_of(
    VALUES,
    st.fixed_dictionaries({"add": st.lists(st.sampled_from("abcd"), max_size=3)}),
    st.fixed_dictionaries({"remove": st.lists(st.sampled_from("abcd"), max_size=3)}),
    st.fixed_dictionaries({"inc": st.integers(0, 5)}),
)
ATTRIBUTES = st.dictionaries(st.sampled_from(["score", "tags", "note"]), CHANGES, max_size=3)
OBJECTS = st.builds(
    lambda *parts: {k: v for part in parts for k, v in part.items()}, WHO, FLAG, ATTRIBUTES
)
EVENTS = st.builds(lambda *parts: {k: v for part in parts for k, v in part.items()}, WHO, FLAG)
CALLS = st.lists(
    st.tuples(st.lists(OBJECTS, max_size=3), st.lists(EVENTS, max_size=2)),
    max_size=5,
)


class Model:
    """The rules of reference §1.3, §1.4 and §1.5, said once more and as shortly as they go."""

    def __init__(self) -> None:
        self.people: list[dict[str, Any]] = []  # the most recently updated one is the last
        self.types: dict[str, type] = {}

    def find(self, item: dict[str, Any]) -> dict[str, Any] | None:
        if "external_id" in item or "user_alias" in item:
            key = "external_id" if "external_id" in item else "user_alias"
            return next((p for p in self.people if p[key] == item[key]), None)
        sharing = [p for p in self.people if p["email"] == item["email"]]
        return next(iter([p for p in sharing if p["external_id"]][-1:] or sharing[-1:]), None)

    def person(self, item: dict[str, Any], *, is_event: bool) -> dict[str, Any] | None:
        if len({"external_id", "user_alias"} & item.keys()) == 2 or not (
            {"external_id", "user_alias", "email"} & item.keys()
        ):
            return None
        person, flag = self.find(item), item.get("_update_existing_only")
        if person is None:
            if flag is True or ("user_alias" in item and (is_event or flag is not False)):
                return None
            person = {"email": None, "events": 0, "custom": {}}
            person |= {key: item.get(key) for key in ("external_id", "user_alias")}
            self.people.append(person)
        self.people.remove(person)
        self.people.append(person)
        if not is_event or not {"external_id", "user_alias"} & item.keys():
            person["email"] = item.get("email", person["email"])
        return person

    def set(self, custom: dict[str, Any], name: str, value: Any) -> None:
        if value is None:
            custom.pop(name, None)
            return
        kind = (
            {"inc": int, "add": list, "remove": list}[next(iter(value))]
            if isinstance(value, dict)
            else type(value)
        )
        if value == "x" * 256 or self.types.get(name, kind) is not kind:
            return
        self.types[name] = kind
        if isinstance(value, dict) and "inc" in value:
            value = custom.get(name, 0) + value["inc"]
        elif isinstance(value, dict):
            added = custom.get(name, []) + value.get("add", [])
            value = [item for item in added if item not in value.get("remove", [])]
        if isinstance(value, list):  # unique, each where it came last
            value = list(dict.fromkeys(reversed(value)))[::-1]
        custom[name] = value

    def track(self, attributes: list[dict[str, Any]], events: list[dict[str, Any]]) -> None:
        for item in attributes:
            if (person := self.person(item, is_event=False)) is not None:
                for name in item.keys() & {"score", "tags", "note"}:
                    self.set(person["custom"], name, item[name])
        for item in events:
            if (person := self.person(item, is_event=True)) is not None:
                person["events"] += 1


def plain(people: list[dict[str, Any]]) -> list[str]:
    return sorted(
        repr(
            (
                p.get("external_id"),
                p.get("user_alias") or next(iter(p.get("user_aliases", [])), None),
                p.get("email"),
                sorted((p.get("custom") or p.get("custom_attributes", {})).items()),
                p["events"] if isinstance(p["events"], int) else len(p["events"]),
            ),
        )
        for p in people
    )


@settings(max_examples=150, deadline=None)
@given(calls=CALLS)
def test_track_does_what_the_model_says(served: Caller, calls: list[Any]) -> None:
    """After any calls the profiles are those of the few-line model of the documented rules."""
    served.control("reset", {})
    model = Model()

    for attributes, events in calls:
        served.track(
            attributes=attributes,
            events=[{**e, "name": "seen", "time": "2026-11-01T00:00:00Z"} for e in events],
        )
        model.track(attributes, events)

    assert plain(served.profiles()) == plain(model.people)
