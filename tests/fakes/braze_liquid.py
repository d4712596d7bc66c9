"""Braze's Liquid, rendered by a Liquid engine: for testing what people paste into Braze.

Braze writes a profile's field as ``{{${first_name}}}`` and a named value as
``{{custom_attribute.${Favourite colour}}}``; no other Liquid knows that form. It is rewritten to
the engine's own spelling (``profile['first_name']``, ``custom_attribute['Favourite colour']``)
only inside Liquid's braces, so that a script's own ``${…}`` stays as it is. The engine does the
rest.

Source: https://www.braze.com/docs/user_guide/messaging/design_and_edit/personalize/liquid
"""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from liquid import Environment

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME: Final = r"\$\{[^{}]*\}"
_MARKUP: Final = re.compile(
    r"(?P<raw>\{%-?\s*raw\s*-?%\}.*?\{%-?\s*endraw\s*-?%\})|"
    rf"\{{\{{(?:{_NAME}|(?!\}}\}}).)*\}}\}}|\{{%(?:{_NAME}|(?!%\}}).)*%\}}",
    re.DOTALL,
)
_SPARED: Final = ";/?:@=+$,[]!~*'()"
_REFERENCE: Final = re.compile(r"(?P<owner>\w+\.)?\$\{(?P<name>[^{}]*)\}")


def render(template: str, profile: Mapping[str, object] | None = None, **values: object) -> str:
    """Render a template as Braze would for one person.

    Args:
        template: What is pasted into Braze.
        profile: The values of ``${…}`` without a dot, such as ``braze_id``, ``user_id`` (the
            external id), ``email_address``; a missing one renders as nothing, as at Braze.
        values: The names before the dot, such as ``custom_attribute``, ``event_properties`` or
            ``campaign``, each a mapping of names to values.

    Raises:
        liquid.exceptions.LiquidError: The template is no Liquid.
    """
    environment = Environment()
    environment.add_filter("url_param_escape", url_param_escape)
    environment.add_filter("hmac_sha256_hex", hmac_sha256_hex)
    return environment.from_string(_MARKUP.sub(_rewritten, template)).render(
        profile=profile or {}, **values
    )


def url_param_escape(value: object) -> str:
    """Escape what a URL may not hold, and ``&``, as Braze's filter does, which is Shopify's.

    Braze's page has the example ``hey<&>hi`` → ``hey%3C%26%3Ehi``, and Shopify's leaves a ``/`` as
    it is. So assume that it spares characters with a meaning in URLs, ``+`` included: the harder
    reading.

    Sources: https://www.braze.com/docs/user_guide/messaging/design_and_edit/personalize/liquid/advanced_filters
    and https://shopify.dev/docs/api/liquid/filters/url_param_escape
    """
    return quote("" if value is None else str(value), safe=_SPARED)


def hmac_sha256_hex(value: object, key: str) -> str:
    """Sign a text, as the filter of that name does (the page of ``url_param_escape``)."""
    return hmac.new(key.encode(), str(value).encode(), "sha256").hexdigest()


def _rewritten(markup: re.Match[str]) -> str:
    return markup["raw"] or _REFERENCE.sub(_lookup, markup.group())


def _lookup(found: re.Match[str]) -> str:
    owner = (found["owner"] or "profile.").removesuffix(".")
    mark = '"' if "'" in found["name"] else "'"
    return f"{owner}[{mark}{found['name'].strip()}{mark}]"
