"""The sandbox's settings, as `POST /_sandbox/settings` takes them (design §6)."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sandbox.braze.custom_attributes import Kind
from sandbox.braze.keys import PERMISSIONS
from sandbox.braze.limits import FAMILIES, Dialect, Limit
from sandbox.braze.subscriptions import DEMO_GROUPS, Channel, Group

_Requests = Annotated[int, Field(ge=0)]
_Seconds = Annotated[float, Field(gt=0)]
_Pair = tuple[_Requests, _Seconds]
_Limits = dict[str, _Pair | list[_Pair]]


class GroupSettings(BaseModel):
    """One subscription group."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channel: Channel
    double_opt_in: bool = False
    opt_in_event: str | None = None


class Settings(BaseModel):
    """Everything that can be set; each key posted replaces that whole setting.

    Attributes:
        read_delay_ms: How long after a write reads show it.
        apply_jitter_ms: Up to how much later still, at random, so that writes overtake each other.
        limits: By path, `[requests, seconds]` or several such pairs, for the workspace; endpoints
            that share a limit at Braze share it here.
        key_limits: The same for single keys.
        track_limit: 75 objects combined, or per array (and so 225).
        rate_limit_reset: How `/users/track` writes the reset; by default as the contract that
            goes with `track_limit` does: `seconds` for combined, `epoch` for per array.
        keys: Permissions by key; `*` is every permission.
        subscription_groups: By id.
        blocklisted_attributes: Custom attributes that are not collected.
        blocklisted_events: Custom events that are not collected.
        attribute_types: Types forced in the dashboard, by attribute.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    read_delay_ms: Annotated[float, Field(ge=0)] = 0
    apply_jitter_ms: Annotated[float, Field(ge=0)] = 0
    limits: _Limits = {}
    key_limits: dict[str, _Limits] = {}
    track_limit: Literal["combined", "per_array"] = "combined"
    rate_limit_reset: Dialect | None = None
    keys: dict[str, list[str]]
    subscription_groups: dict[str, GroupSettings]
    blocklisted_attributes: frozenset[str] = frozenset()
    blocklisted_events: frozenset[str] = frozenset()
    attribute_types: dict[str, Kind] = {}

    @model_validator(mode="after")
    def _known_names(self) -> Self:
        for limits in (self.limits, *self.key_limits.values()):
            if unknown := limits.keys() - FAMILIES.keys():
                raise ValueError(f"no such endpoint: {', '.join(sorted(unknown))}")
        for permissions in self.keys.values():
            if unknown := set(permissions) - PERMISSIONS - {"*"}:
                raise ValueError(f"no such permission: {', '.join(sorted(unknown))}")
        return self

    def permissions_of(self, key: str) -> frozenset[str] | None:
        """Return what a key may do; None for a key that does not exist."""
        granted = self.keys.get(key)
        if granted is None:
            return None
        return PERMISSIONS if "*" in granted else frozenset(granted)

    def group(self, group_id: object) -> Group | None:
        """Find the subscription group of an id, if there is one."""
        if not isinstance(group_id, str) or group_id not in self.subscription_groups:
            return None
        chosen = self.subscription_groups[group_id]
        return Group(group_id, chosen.channel, chosen.double_opt_in, chosen.opt_in_event)

    def track_dialect(self) -> Dialect:
        """Choose how `/users/track` writes the reset."""
        if self.rate_limit_reset is not None:
            return self.rate_limit_reset
        return "seconds" if self.track_limit == "combined" else "epoch"


def limits_by_family(limits: _Limits) -> dict[str, list[Limit]]:
    """Turn limits by path into limits by the family of endpoints that share them.

    Returns:
        By family; two paths of one family add up to two limits on the one counter.
    """
    families: dict[str, list[Limit]] = {}
    for path, given in limits.items():
        pairs = given if isinstance(given, list) else [given]
        families.setdefault(FAMILIES[path], []).extend(Limit(*pair) for pair in pairs)
    return families


def default_settings(key: str) -> Settings:
    """Make the settings after a reset: a key with every permission, the demo groups, no limits."""
    return Settings(
        keys={key: ["*"]},
        subscription_groups={
            group.group_id: GroupSettings(
                channel=group.channel,
                double_opt_in=group.double_opt_in,
                opt_in_event=group.opt_in_event,
            )
            for group in DEMO_GROUPS
        },
    )
