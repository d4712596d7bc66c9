"""The body of ``POST /quikly/acquisitions``, checked field by field, and the record it becomes."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from braze_bridge.mapping.attributes import DETAILS, TOO_MANY_NAMES
from braze_bridge.mapping.identifiers import is_placeholder
from braze_bridge.mapping.instants import read_instant
from braze_bridge.mapping.names import ANY_NAME, NameGuard, none_over_cap
from braze_bridge.mapping.paths import is_blank
from braze_bridge.mapping.phones import normal_phone
from braze_bridge.mapping.profile_fields import STANDARD_FIELDS
from braze_bridge.mapping.texts import one_form
from braze_bridge.reasons import Reason
from quikly_acquisition.models import (
    PATIENCE,
    RETENTION,
    AcquisitionRecord,
    Channel,
    Consent,
    HistoryEntry,
    Step,
)
from quikly_acquisition.people import acquired_email, checked_attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from braze_bridge.jobs.envelope import AttributeValue
    from braze_bridge.mapping.names import NamesOverCap
    from braze_bridge.partner_config.quikly_acquisitions import AcquisitionRule

FIELDS: Final = frozenset(
    {"q_scope", "channel", "email", "phone", "consent", "attributes", "idempotency_key"}
)
CONSENT_FIELDS: Final = frozenset({"given_at", "method", "text"})

MAX_SCOPE_CHARS: Final = 128
MAX_METHOD_CHARS: Final = 255
MAX_TEXT_CHARS: Final = 5000
MAX_KEY_CHARS: Final = 255

CLOCK_DIFFERENCE: Final = timedelta(minutes=5)
"""How far in the future a consent may be, since the caller's clock may differ from ours."""

_NAMEABLE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}")
"""An unknown field's name may hold an address, so only a plain name is repeated in the answer."""


class AcquisitionRequest(NamedTuple):
    """A sign-up that passed every check.

    Attributes:
        email: In lower case; required on the e-mail channel.
        phone: E.164; required on the SMS channel.
        idempotency_key: The caller's own name for this request.
        warnings: What is left out because it does not fit.
    """

    q_scope: str
    channel: Channel
    email: str | None
    phone: str | None
    consent: Consent
    attributes: dict[str, AttributeValue]
    idempotency_key: str | None = None
    warnings: tuple[Reason, ...] = ()

    def __repr__(self) -> str:
        # Tracebacks and logs show reprs, and must not show an address.
        return f"AcquisitionRequest({self.q_scope!r}, {self.channel})"


class Refusal(NamedTuple):
    """Why a body was refused: a reason for each wrong field, without its value.

    Fields that alone would only be left out come last: the caller can correct all at once.
    """

    reasons: tuple[Reason, ...]


def read_request(
    body: object,
    *,
    acquisitions: Mapping[str, AcquisitionRule],
    now: datetime,
    placeholders: AbstractSet[str] = frozenset(),
    guard: NameGuard = ANY_NAME,
    names_over_cap: NamesOverCap = none_over_cap,
) -> AcquisitionRequest | Refusal:
    """Check a body, which may be any JSON value.

    Args:
        acquisitions: The configured activations, by scope.
        placeholders: What is no identifier besides the usual placeholders, in lower case.
        guard: Names of attributes that no sign-up may write.
    """
    if not isinstance(body, dict):
        return Refusal((Reason(code="wrong_type", detail="send a JSON object"),))
    reader = _Reader(body, placeholders)
    reader.refuse_unknown(body, FIELDS, "")
    q_scope = reader.text("q_scope", MAX_SCOPE_CHARS)
    rule = None if q_scope is None else acquisitions.get(q_scope)
    if q_scope is not None and rule is None:
        reader.refuse("unknown_activation", "q_scope", "no acquisition is configured for it")
    channel = _read_channel(reader, rule)
    email = reader.address(
        "email", acquired_email, "not an e-mail address", is_required=channel == "email"
    )
    phone = reader.address(
        "phone",
        normal_phone,
        "not an international number such as +4930123456",
        is_required=channel == "sms",
    )
    consent = _read_consent(reader, now)
    attributes = _read_attributes(reader, guard)
    key = reader.text("idempotency_key", MAX_KEY_CHARS, is_required=False)
    if key is not None and is_placeholder(key, placeholders):
        # Otherwise the second person with the key "undefined" would be refused.
        key = None
    if reader.reasons or q_scope is None or channel is None or consent is None:
        return Refusal((*reader.reasons, *reader.warnings))
    over = names_over_cap(attributes.keys() - STANDARD_FIELDS.keys(), now)
    for name in sorted(over):
        del attributes[name]
        detail = DETAILS[TOO_MANY_NAMES]
        reader.warnings.append(
            Reason(code=TOO_MANY_NAMES, field=f"attributes.{name}", detail=detail)
        )
    return AcquisitionRequest(
        q_scope, channel, email, phone, consent, attributes, key, tuple(reader.warnings)
    )


def new_record(
    request: AcquisitionRequest, *, acquisition_id: str, correlation_id: str, now: datetime
) -> AcquisitionRecord:
    """Make the first version of a record, due at once."""
    return AcquisitionRecord(
        acquisition_id=acquisition_id,
        q_scope=request.q_scope,
        channel=request.channel,
        email=request.email,
        phone=request.phone,
        consent=request.consent,
        attributes=request.attributes,
        correlation_id=correlation_id,
        step=Step.READ_STATUS if request.channel == "sms" else Step.LOOK_UP,
        history=(HistoryEntry(at=now, step="accepted"),),
        due_at=now,
        created_at=now,
        expires_at=now + RETENTION,
        give_up_at=now + PATIENCE,
    )


class _Reader:
    """Reads the fields of a JSON object and collects the reasons against them."""

    def __init__(self, body: Mapping[str, object], placeholders: AbstractSet[str]) -> None:
        self.body = body
        self.placeholders = placeholders
        self.reasons: list[Reason] = []
        self.warnings: list[Reason] = []

    def refuse(self, code: str, field: str | None, detail: str) -> None:
        self.reasons.append(Reason(code=code, field=field, detail=detail))

    def refuse_unknown(
        self, given: Mapping[str, object], known: frozenset[str], prefix: str
    ) -> None:
        """Refuse unknown fields, so that a misspelt field's content is not lost silently."""
        for name in given.keys() - known:
            field = f"{prefix}{name}" if _NAMEABLE.fullmatch(name) else (prefix.rstrip(".") or None)
            self.refuse("unknown_field", field, "there is no such field")

    def text(
        self,
        name: str,
        max_chars: int,
        *,
        of: Mapping[str, object] | None = None,
        is_required: bool = True,
    ) -> str | None:
        """Read a text in its one form; a blank one is no answer."""
        given = self.body if of is None else of
        field = name if of is None else f"consent.{name}"
        value = given.get(name)
        if value is None:
            if is_required:
                self.refuse("missing", field, "is needed")
            return None
        if not isinstance(value, str):
            self.refuse("wrong_type", field, "must be a text")
        elif not (text := one_form(value)):
            if is_required:
                self.refuse("blank", field, "must not be blank")
        elif len(text) > max_chars:
            self.refuse("too_long", field, f"has more than {max_chars} characters")
        else:
            return text
        return None

    def address(
        self, name: str, normalise: Callable[[str], str | None], detail: str, *, is_required: bool
    ) -> str | None:
        """Read an address; ``detail`` says why a wrong one is refused.

        A placeholder is no answer. A wrong one that is not needed is left out.
        """
        value = self.body.get(name)
        if not is_required and value is not None and not isinstance(value, str):
            self.warnings.append(Reason(code="wrong_type", field=name))
            return None
        text = self.text(name, MAX_TEXT_CHARS, is_required=is_required)
        if text is None:
            return None
        address = normalise(text)
        if address is not None and not is_placeholder(address, self.placeholders):
            return address
        if is_required:
            self.refuse(f"invalid_{name}", name, detail)
        elif not is_placeholder(text, self.placeholders):
            self.warnings.append(Reason(code=f"invalid_{name}", field=name, detail=detail))
        return None


def _read_channel(reader: _Reader, rule: AcquisitionRule | None) -> Channel | None:
    word = reader.text("channel", MAX_SCOPE_CHARS)
    if word is None:
        return None
    if word not in {"email", "sms"}:
        reader.refuse("not_allowed", "channel", "must be email or sms")
        return None
    channel: Channel = "email" if word == "email" else "sms"
    if rule is not None and channel not in rule.channels:
        reader.refuse("channel_not_configured", "channel", "the activation does not have it")
    return channel


def _read_consent(reader: _Reader, now: datetime) -> Consent | None:
    given = reader.body.get("consent")
    if not isinstance(given, dict):
        code = "missing" if given is None else "wrong_type"
        reader.refuse(code, "consent", "must be an object with given_at, method and text")
        return None
    reader.refuse_unknown(given, CONSENT_FIELDS, "consent.")
    method = reader.text("method", MAX_METHOD_CHARS, of=given)
    text = reader.text("text", MAX_TEXT_CHARS, of=given)
    given_at = read_instant(given.get("given_at"))
    if given.get("given_at") is None:
        reader.refuse("missing", "consent.given_at", "is needed")
    elif given_at is None:
        reader.refuse("invalid_time", "consent.given_at", "not a time such as 2026-11-22T10:00:00Z")
    elif given_at > now + CLOCK_DIFFERENCE:
        reader.refuse("in_the_future", "consent.given_at", "nobody has agreed yet")
    if given_at is None or method is None or text is None:
        return None
    return Consent(given_at=given_at, method=method, text=text)


def _read_attributes(reader: _Reader, guard: NameGuard) -> dict[str, AttributeValue]:
    given = reader.body.get("attributes")
    if is_blank(given):
        return {}
    if not isinstance(given, dict):
        reader.refuse("wrong_type", "attributes", "must be an object")
        return {}
    checked = checked_attributes(given, guard)
    reader.reasons.extend(checked.reasons)
    reader.warnings.extend(checked.warnings)
    return checked.values
