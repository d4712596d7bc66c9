"""Braze's own profile fields, and the names that an attribute or an event property may have.

If a standard field gets a wrong value, Braze answers 201 and stores NULL or nothing. So each field
has a rule here, which is applied after the configured type.
Source: https://www.braze.com/docs/api/objects_filters/user_attributes_object and
https://www.braze.com/docs/user_guide/data/activation/attributes/standard_attributes
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from braze_bridge.braze.limits import (
    MAX_IMAGE_URL_CHARS,
    MAX_STRING_CHARS,
    RESERVED_PROPERTY_NAMES,
)
from braze_bridge.jobs.envelope import CONTROL_NAMES, IDENTIFIER_NAMES
from braze_bridge.mapping.english_names import country_code, language_code
from braze_bridge.mapping.identifiers import normal_email
from braze_bridge.mapping.phones import normal_phone
from braze_bridge.mapping.texts import bare_name, plain_name, trimmed
from braze_bridge.mapping.values import Misfit, ValueType

if TYPE_CHECKING:
    from collections.abc import Callable

_COUNTRY_CODES: Final = (
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR "
    "BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ "
    "EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW "
    "GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY "
    "KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV "
    "MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY "
    "QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG "
    "TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM "
    "ZW XK"
)
"""ISO 3166-1 alpha-2, and XK (Kosovo), which is assigned by use."""

_COUNTRIES: Final = frozenset(_COUNTRY_CODES.split())

_LANGUAGE_CODES: Final = (
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy "
    "da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu "
    "hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb "
    "lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om "
    "or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw "
    "ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"
)
"""ISO 639-1."""

_LANGUAGES: Final = frozenset(_LANGUAGE_CODES.split())

_ZONE: Final = re.compile(
    r"(?:Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Europe|Indian|Pacific|Etc)"
    r"(?:/[A-Za-z0-9_+-]{1,32}){1,2}|UTC|GMT"
)
"""The form of IANA names. The names are not checked: not every machine has the database, and a
configuration must give the same result everywhere."""

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_IMAGE_URL: Final = re.compile(r"https?://\S+", re.IGNORECASE)
_SUBSCRIPTIONS: Final = frozenset({"opted_in", "subscribed", "unsubscribed"})
_GENDERS: Final = {
    **{letter: letter for letter in "MFONP"},
    **dict.fromkeys(("MALE", "MAN"), "M"),
    **dict.fromkeys(("FEMALE", "WOMAN"), "F"),
    "OTHER": "O",
    "NOT APPLICABLE": "N",
    "PREFER NOT TO SAY": "P",
}
"""Braze's letters, and the words that its page says them with."""


class StandardField(NamedTuple):
    """What Braze takes in one of its own fields.

    Attributes:
        type: The type that a configuration must give it.
        check: Returns the value as Braze takes it, or why Braze does not.
    """

    type: ValueType
    check: Callable[[str], str | Misfit] | None = None
    max_chars: int = MAX_STRING_CHARS


def _allowed(word: str | None, words: frozenset[str]) -> str | Misfit:
    return word if word in words else Misfit.NOT_ALLOWED


def _matching(text: str, form: re.Pattern[str]) -> str | Misfit:
    return text if form.fullmatch(text) else Misfit.NOT_ALLOWED


# A configuration is pickled when it is built, so each check must be a function with a name.


def _country(text: str) -> str | Misfit:
    code = trimmed(text).upper()
    return code if code in _COUNTRIES else _allowed(country_code(text), _COUNTRIES)


def _language(text: str) -> str | Misfit:
    code = trimmed(text).lower()
    return code if code in _LANGUAGES else _allowed(language_code(text), _LANGUAGES)


def _gender(text: str) -> str | Misfit:
    return _GENDERS.get(trimmed(text).upper(), Misfit.NOT_ALLOWED)


def _subscription(text: str) -> str | Misfit:
    return _allowed(trimmed(text).lower(), _SUBSCRIPTIONS)


def _day(text: str) -> str | Misfit:
    return _matching(text, _DAY)


def _image_url(text: str) -> str | Misfit:
    return _matching(text, _IMAGE_URL)


def _time_zone(text: str) -> str | Misfit:
    return _matching(text, _ZONE)


def _email(text: str) -> str | Misfit:
    return normal_email(text) or Misfit.NOT_ALLOWED


def _phone(text: str) -> str | Misfit:
    return normal_phone(text) or Misfit.NOT_ALLOWED


_TEXT: Final = StandardField(ValueType.STRING)
_FLAG: Final = StandardField(ValueType.BOOLEAN)
_TIME: Final = StandardField(ValueType.DATE)
_SUBSCRIPTION: Final = StandardField(ValueType.STRING, _subscription)

STANDARD_FIELDS: Final = MappingProxyType(
    {
        "country": StandardField(ValueType.STRING, _country),
        "date_of_first_session": _TIME,
        "date_of_last_session": _TIME,
        "dob": StandardField(ValueType.DATE, _day),
        "email": StandardField(ValueType.STRING, _email),
        "email_click_tracking_disabled": _FLAG,
        "email_open_tracking_disabled": _FLAG,
        "email_subscribe": _SUBSCRIPTION,
        "first_name": _TEXT,
        "gender": StandardField(ValueType.STRING, _gender),
        "home_city": _TEXT,
        "image_url": StandardField(ValueType.STRING, _image_url, MAX_IMAGE_URL_CHARS),
        "language": StandardField(ValueType.STRING, _language),
        "last_name": _TEXT,
        "marked_email_as_spam_at": _TIME,
        "phone": StandardField(ValueType.STRING, _phone),
        "push_subscribe": _SUBSCRIPTION,
        "time_zone": StandardField(ValueType.STRING, _time_zone),
    }
)
"""The fields that a configuration may map, by their exact (lower-case) names."""

OBJECT_FIELDS: Final = frozenset({"current_location", "facebook", "twitter"})
"""Standard fields that hold objects. A mapping makes only scalars and arrays."""


def attribute_name_problem(name: str) -> str | None:
    """Say why Braze does not take an attribute under this name; ``None`` if it does.

    Args:
        name: In its one form: Braze strips the spaces around it.
    """
    bare = bare_name(name)
    if bare in IDENTIFIER_NAMES:
        return "is an identifier: it says whom an update is about, and is set under person"
    if bare in CONTROL_NAMES:
        return "steers Braze instead of describing a person, and cannot be mapped"
    if bare in OBJECT_FIELDS:
        return "is a Braze field that holds an object, and cannot be mapped"
    return _name_problem(name)


def property_name_problem(name: str) -> str | None:
    """Say why Braze does not take an event property under this name; ``None`` if it does.

    Args:
        name: Without surrounding spaces.
    """
    if bare_name(name) in RESERVED_PROPERTY_NAMES:
        return "is reserved by Braze: an event with such a property is refused"
    return _name_problem(name)


def _name_problem(name: str) -> str | None:
    if not name:
        return "must not be blank"
    if len(name) > MAX_STRING_CHARS:
        return f"is longer than {MAX_STRING_CHARS} characters"
    if name.startswith("$"):
        return "must not begin with $"
    if name.strip() != plain_name(name):
        return (
            "has a character that is not shown, or a special space: it would look like another name"
        )
    return None
