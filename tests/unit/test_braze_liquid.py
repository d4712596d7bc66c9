"""The renderer of Braze's Liquid reads Braze's own form, and leaves everything else as it is."""

from __future__ import annotations

import pytest
from liquid.exceptions import LiquidError

from tests.fakes.braze_liquid import render

PROFILE = {"braze_id": "5f1a", "first_name": "Ada", "odd": "a&b=c d/é?"}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("x={{${braze_id}}}", "x=5f1a"),
        ("x={{ ${braze_id} }}&y", "x=5f1a&y"),
        ("{{${first_name} | upcase}}", "ADA"),
        ("{{${nobody} | default: 'friend'}}", "friend"),
        ("[{{${nobody}}}]", "[]"),
        ("{{${odd} | url_param_escape}}", "a%26b=c%20d/%C3%A9?"),
        ("{{custom_attribute.${Do you enjoy our products?}}}", "No"),
        ('{{custom_attribute.${Who\'s there?} | default: "nobody"}}', "me"),
        ("{{campaign.${dispatch_id}}}", "d-1"),
        ("{% if ${braze_id} == '5f1a' %}yes{% else %}no{% endif %}", "yes"),
        ("{% assign id = ${braze_id} %}{{id}}", "5f1a"),
        ("{{event_properties.${survey_id}}}{{event_properties.survey_id}}", "s-1s-1"),
        ("const url = `${base}/x`; {{${braze_id}}}", "const url = `${base}/x`; 5f1a"),
        ("{% raw %}{{${braze_id}}}{% endraw %}", "{{${braze_id}}}"),
        ('{"a": {"b": "{{${braze_id}}}"}}', '{"a": {"b": "5f1a"}}'),
    ],
)
def test_rendering(template: str, expected: str) -> None:
    """Fields, named values, filters and tags come out as Braze's pages describe them."""
    rendered = render(
        template,
        PROFILE,
        custom_attribute={"Do you enjoy our products?": "No", "Who's there?": "me"},
        campaign={"dispatch_id": "d-1"},
        event_properties={"survey_id": "s-1"},
    )

    assert rendered == expected


@pytest.mark.parametrize("template", ["{{ ${braze_id} | no_such_filter }}", "{% if %}", "{{ 'x }}"])
def test_what_is_no_liquid_is_an_error(template: str) -> None:
    """A filter that does not exist, or broken markup, fails instead of rendering nothing."""
    with pytest.raises(LiquidError):
        render(template, PROFILE)
