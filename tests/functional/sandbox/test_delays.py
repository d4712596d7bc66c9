"""Reads that lag, writes that overtake each other (reference §1.10)."""

from tests.functional.sandbox.caller import Caller, people

U = {"external_id": "u"}


def test_reads_lag_writes(braze: Caller) -> None:
    """A write shows only after the read delay, in exports and on the control routes."""
    braze.settings(read_delay_ms=2_000)
    braze.attributes(U)
    braze.clock.advance(1.9)
    early = (braze.export(external_ids=["u"]), braze.profiles())
    braze.clock.advance(0.2)

    assert early == ([], [])
    assert len(braze.profiles()) == 1


def test_writes_apply_in_order_without_jitter(braze: Caller) -> None:
    """With a plain delay the last write wins."""
    braze.settings(read_delay_ms=500)
    for number in range(20):
        braze.attributes({**U, "score": number})
        braze.clock.advance(0.01 if number < 10 else 0)
    braze.clock.advance(1)

    assert braze.custom("u") == {"score": 19}


def test_jitter_lets_writes_overtake(braze: Caller) -> None:
    """With jitter some write is overtaken by a later one, and every one is applied in the end."""
    braze.settings(apply_jitter_ms=1_000)
    for number in range(20):
        braze.event(**U, name=str(number))
    braze.clock.advance(2)

    names = [event["name"] for event in braze.profile("u")["events"]]
    assert sorted(names, key=int) == [str(number) for number in range(20)]
    assert names != sorted(names, key=int)


def test_objects_are_judged_when_the_call_comes(braze: Caller) -> None:
    """What is wrong with an object is answered at once, whatever the delay."""
    braze.settings(read_delay_ms=60_000)

    answer = braze.attributes(U, {})

    assert [error["index"] for error in answer.json()["errors"]] == [1]


def test_subscription_lags_too(braze: Caller) -> None:
    """A subscription set shows only after the delay."""
    braze.attributes({**U, "phone": "+15555550123"})
    braze.settings(read_delay_ms=1_000)
    braze.subscribe("demo-sms-group", phone="+15555550123")
    early = braze.status("demo-sms-group", external_id="u")
    braze.clock.advance(1)

    assert early == {"u": "unknown"}
    assert braze.status("demo-sms-group", external_id="u") == {"u": "Subscribed"}


def test_pending_writes_are_counted(braze: Caller) -> None:
    """The health route tells how many writes do not show yet."""
    braze.settings(read_delay_ms=1_000)
    braze.attributes(*people(3))
    braze.attributes(U)

    assert braze.control("health")["pending"] == 2
