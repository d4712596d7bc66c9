"""Names that no body may give to an attribute."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.mapping.names import NameGuard, means_consent


@pytest.mark.parametrize(
    "name",
    [
        *("marketing_consent", "Marketing Consent", "marketingConsent", "MARKETING-CONSENT"),
        *("consent", "gdpr_consent", "consent_date", "has_consented", "sms_opt_in", "optOut"),
        *("email opt-in", "opted_out_at", "newsletter", "newsletter_subscribed", "subscribed"),
        *("unsubscribed", "email_subscription_status", "accepts_marketing", "do_not_call"),
        *("doNotSell", "push_permission", "CCPA", "DSGVO-Einwilligung", "marketing_consent_2"),
        *("double_opt_in", "\uff43onsent", "track_consent"),
    ],
)
def test_a_name_made_of_such_words_means_consent(name: str) -> None:
    """In any case, with any signs or digits between the words."""
    assert means_consent(name)
    assert NameGuard().objection(name) == "means consent or a subscription"
    assert NameGuard(allowed=frozenset({name})).objection(name) is None


@pytest.mark.parametrize(
    "name",
    [
        *("Do you consent?", "How did you hear about our newsletter?", "favourite_colour", ""),
        *("email", "marketing", "phone", "Which data do you share?", "adoption", "accepted_offer"),
        *("iterate_marketing_consent", "コンセント", "123"),
    ],
)
def test_a_question_or_another_name_does_not(name: str) -> None:
    """A sentence stays the name of its attribute, and a prefix makes any name free."""
    assert not means_consent(name)


def test_a_file_protects_names_of_its_own() -> None:
    """Names that only Braze knows."""
    guard = NameGuard(taken=frozenset({"vip_status"}))

    assert guard.objection("vip_status") is not None
    assert guard.objection("vip\u200d_status") is not None
    assert guard.objection("vip") is None


@given(st.text(max_size=200))
def test_any_text_is_judged(name: str) -> None:
    """No text raises, and case never counts."""
    assert means_consent(name.upper()) == means_consent(name.upper().lower())


def test_a_long_name_is_judged_at_once() -> None:
    """A hostile prompt of 256 KB; and no name makes the pattern search long."""
    assert not means_consent("optin" * 50_000)
    assert not means_consent("optinsubscribedoptin" * 3 + "x")
