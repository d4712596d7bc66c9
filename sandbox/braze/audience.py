"""Find profiles by attributes and events, as a marketer's segment or trigger does."""

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from sandbox.braze.profiles import Profile


class PerformedEvent(BaseModel):
    """A custom event, and properties that it must have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    properties: dict[str, JsonValue] = Field(default_factory=dict)


class Audience(BaseModel):
    """Filters that must all hold.

    Attributes:
        attributes: Custom attributes by name; of an array, one element may be meant.
        event: Performed at least once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    attributes: dict[str, JsonValue] = Field(default_factory=dict)
    event: PerformedEvent | None = None

    @model_validator(mode="after")
    def _asks_for_something(self) -> "Audience":
        if not self.attributes and self.event is None:
            raise ValueError("give attributes, or an event, or both")
        return self

    def includes(self, profile: Profile) -> bool:
        """Check whether a profile passes every filter."""
        if not all(
            name in profile.custom and _is(profile.custom[name], wanted)
            for name, wanted in self.attributes.items()
        ):
            return False
        event = self.event
        return event is None or any(
            performed.name == event.name
            and all(
                name in performed.properties and _is(performed.properties[name], wanted)
                for name, wanted in event.properties.items()
            )
            for performed in profile.events
        )


def _is(value: JsonValue, wanted: JsonValue) -> bool:
    """Compare value and type: the text "1" is not the number 1, and 1 is not true."""
    if isinstance(value, list) and not isinstance(wanted, list):
        return any(_is(item, wanted) for item in value)
    return isinstance(value, bool) is isinstance(wanted, bool) and value == wanted
