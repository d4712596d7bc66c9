"""A Braze campaign calls, one person wins, the profile shows it: each mode on the local stack."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import requests
from typer.testing import CliRunner

from braze_bridge.aws.secrets import SecretPair
from braze_bridge.clock import SystemClock
from braze_bridge.keys import claims_key
from braze_bridge.partner_config.toml_files import load_quikly
from ops.activations.actions import state_of, verify
from ops.activations.dynamo_book import DynamoActivationBook
from ops.bridge import app
from quikly_webhook.claims import Claims
from quikly_webhook.draws import commitment_to
from quikly_webhook.dynamo_claims import DynamoClaimStore
from quikly_webhook.models import read_call
from tests.fakes.webhook_template import FOLDER, headers, rendered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sandbox.stack.stack_file import StackFile

CALL_SECONDS = 30
SHIPPED = Path(__file__).parents[2] / "layers" / "partner_config"


def call(stack: StackFile, scope: str, email: str, **more: Any) -> tuple[int, dict[str, Any]]:
    """What a campaign posts, and what it is answered."""
    answer = requests.post(
        f"{stack.api_url}/quikly/webhook",
        json={"q_scope": scope, "event": "demo-action", "email": email} | more,
        headers={"Authorization": f"Bearer {stack.tokens['braze_webhook']}"},
        timeout=CALL_SECONDS,
    )
    return answer.status_code, answer.json()


def decided(stack: StackFile, scope: str, email: str) -> dict[str, Any]:
    """The answer, asked for again after 429 and 503 as Braze does."""
    for _ in range(10):
        status, answer = call(stack, scope, email)
        if status == 200:
            return answer
        assert status in {429, 503}, answer
        time.sleep(0.5)
    raise AssertionError("never decided")


def new_person() -> str:
    return f"{uuid.uuid4().hex}@example.com"


def control(stack: StackFile, route: str, body: dict[str, Any] | None = None) -> Any:
    url = f"{stack.braze_url}/_sandbox/{route}"
    answer = (
        requests.get(url, timeout=CALL_SECONDS)
        if body is None
        else requests.post(url, json=body, timeout=CALL_SECONDS)
    )
    answer.raise_for_status()
    return answer.json()


def profile(stack: StackFile, email: str) -> dict[str, Any]:
    for found in control(stack, "profiles"):
        if found.get("email") == email:
            return dict(found)
    return {}


def event_names(stack: StackFile, email: str) -> list[str]:
    return [event["name"] for event in profile(stack, email).get("events", ())]


def wait_for(check: Callable[[], bool], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return True
        time.sleep(0.2)
    return False


def was_awarded_once(stack: StackFile, email: str) -> bool:
    return event_names(stack, email) == ["quikly_awarded"]


def told(stack: StackFile, email: str) -> list[int]:
    """Return Quikly's answer to each call about a person."""
    calls = control(stack, "quikly")["calls"]
    return [each["status"] for each in calls if email in each["body"]]


def invoke(stack: StackFile, function: str) -> Any:
    """Call a function that runs on a schedule, now."""
    answer = (
        stack.session()
        .client("lambda", **stack.client_options())
        .invoke(FunctionName=stack.functions[function], Qualifier="live", Payload=b"{}")
    )
    assert "FunctionError" not in answer
    return json.loads(answer["Payload"].read())


def bridge(stack: StackFile, *words: str) -> Any:
    """`bridge activation …`, its answer as JSON."""
    folder = str(Path(stack.logs).parent)
    result = CliRunner().invoke(app, ["activation", *words, "--json", "--dir", folder])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


class Activations(NamedTuple):
    """The stack's activations as a person's command looks at them."""

    book: DynamoActivationBook
    secret: bytes

    @classmethod
    def of(cls, stack: StackFile) -> Activations:
        session, options = stack.session(), stack.client_options()
        text = session.client("secretsmanager", **options).get_secret_value(
            SecretId=stack.secrets["claims"]
        )["SecretString"]
        pair = SecretPair.model_validate_json(text)

        class Given:
            def get(self) -> SecretPair:
                return pair

            refresh = get

            def drop(self) -> None:
                return

        table = stack.tables["claims"]
        book = DynamoActivationBook(session.client("dynamodb", **options), table)
        return cls(book, claims_key(Given())())


@pytest.fixture(autouse=True)
def _clean(stack: StackFile) -> Iterator[None]:
    control(stack, "reset", {})
    yield
    control(stack, "reset", {})


class Mode(NamedTuple):
    """What one call of a demo activation leads to."""

    scope: str
    answer: dict[str, Any]
    attributes: dict[str, Any]
    event: str
    since_now: bool = False


ANY = object()
"""Whatever differs from run to run."""


def awarded(tier: str, incentive: str, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    named = {f"quikly_{name}": value for name, value in more.items()}
    return (
        {"status": "awarded", "tier": tier, **more},
        {"quikly_status": "awarded", "quikly_tier": tier, "quikly_incentive": incentive, **named},
    )


MODES = [
    Mode("demo-first", *awarded("reward", "A free coffee"), "quikly_awarded"),
    # Within the first minute of `since`, however long the stack exists.
    Mode("demo-speed", *awarded("gold", "50 % off"), "quikly_awarded", since_now=True),
    Mode(
        "demo-decay",
        *awarded("voucher", "A voucher that melts", value=ANY, currency="EUR"),
        "quikly_awarded",
    ),
    Mode("demo-draw", {"status": "entered"}, {"quikly_status": "entered"}, "quikly_entered"),
    Mode(
        "demo-forward", {"status": "forwarded"}, {"quikly_status": "forwarded"}, "quikly_forwarded"
    ),
]


def agrees(expected: dict[str, Any], found: dict[str, Any]) -> bool:
    return all(
        name in found and (value is ANY or found[name] == value) for name, value in expected.items()
    )


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: f"{mode.scope}:{mode.answer['status']}")
def test_a_call_is_answered_with_its_award_and_the_profile_shows_it(
    stack: StackFile, mode: Mode
) -> None:
    """Called three times, the address spelt in three ways: one claim, one event, one answer."""
    email = new_person()

    more = {"since": datetime.now(UTC).isoformat()} if mode.since_now else {}
    answers = [
        call(stack, mode.scope, spelling, **more)
        for spelling in (email, email.upper(), f"  {email} ")
    ]

    assert answers[0] == answers[1] == answers[2]
    status, answer = answers[0]
    assert status == 200
    assert answer.keys() == mode.answer.keys()
    assert agrees(mode.answer, answer)
    assert wait_for(lambda: event_names(stack, email) == [mode.event])
    shown = profile(stack, email)
    assert agrees(mode.attributes, shown["custom_attributes"])
    if "value" in answer:
        assert shown["custom_attributes"]["quikly_value"] == answer["value"]
    [event] = shown["events"]
    assert event["properties"]["q_scope"] == mode.scope
    if "tier" in answer:
        assert event["properties"]["tier"] == answer["tier"]


def test_a_rank_is_a_place_in_line_and_the_best_tiers_go_to_the_first(stack: StackFile) -> None:
    """Twelve people at once: the tier is that of the position, and the last get nothing."""
    people = [new_person() for _ in range(12)]

    with ThreadPoolExecutor(len(people)) as pool:
        answers = list(pool.map(lambda email: decided(stack, "demo-rank", email), people))

    tier_of = {answer["rank"]: answer["tier"] for answer in answers}
    assert len(tier_of) == len(people)
    for rank, tier in tier_of.items():
        assert tier == ("gold" if rank <= 3 else "silver" if rank <= 10 else "consolation"), rank
    state = state_of(
        load_quikly(SHIPPED).activations["demo-rank"],
        Activations.of(stack).book,
        datetime.now(UTC),
    )
    assert [tier.claim_count for tier in state.tiers] == [3, 7]
    last = max(answers, key=lambda answer: answer["rank"])
    assert last["status"] == "no_award"
    # Asked again they hear the same.
    assert [call(stack, "demo-rank", email)[1] for email in people[::5]] == answers[::5]
    loser = people[answers.index(last)]
    assert wait_for(lambda: event_names(stack, loser) == ["quikly_no_award"])
    assert profile(stack, loser)["custom_attributes"]["quikly_incentive"] == "The recording"


def test_chance_is_what_the_published_commitment_says(stack: StackFile) -> None:
    """Twelve calls; what each got is recomputed from the seed, and the counters agree."""
    activations = Activations.of(stack)
    rule = load_quikly(SHIPPED).activations["demo-random"]
    invoke(stack, "quikly_webhook_sweep")
    assert activations.book.counters("demo-random").commitment is not None

    outcomes = Counter(call(stack, "demo-random", new_person())[1].get("status") for _ in range(12))

    assert outcomes.keys() <= {"awarded", "no_award"}
    verification = verify(rule, activations.book, activations.secret)
    assert verification.problems == ()
    assert verification.checked >= 12


def test_no_more_rewards_than_there_are_in_a_crowd(stack: StackFile) -> None:
    """Twelve people, twice each, at once, at the first ten: ten win; each hears one answer."""
    people = [new_person() for _ in range(12)]
    calls = people * 2

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda email: call(stack, "demo-first", email), calls))

    # A crowd may be asked to come again: then it does, as Braze would.
    said = {
        email: {call(stack, "demo-first", email)[1]["status"]}
        | {
            answer[1]["status"]
            for asked, answer in zip(calls, answers, strict=True)
            if asked == email and answer[0] == 200
        }
        for email in people
    }
    assert {status for status, _ in answers} <= {200, 429, 503}
    assert all(len(statuses) == 1 for statuses in said.values())
    state = state_of(
        load_quikly(SHIPPED).activations["demo-first"],
        Activations.of(stack).book,
        datetime.now(UTC),
    )
    assert (state.awarded, state.remaining, state.tiers[0].all_claimed) == (10, 0, True)
    assert call(stack, "demo-first", new_person()) == (200, {"status": "no_award"})


def test_a_forwarded_call_arrives_at_quikly_once(stack: StackFile) -> None:
    """However often Braze calls, and though Quikly first answers 503."""
    email = new_person()
    control(
        stack,
        "faults",
        {"path": "/quikly/webhook/braze", "match": email, "times": 1, "status": 503},
    )

    for _ in range(3):
        assert call(stack, "demo-forward", email) == (200, {"status": "forwarded"})

    assert wait_for(lambda: 200 in told(stack, email))
    invoke(stack, "quikly_webhook_sweep")
    assert call(stack, "demo-forward", email) == (200, {"status": "forwarded"})
    assert wait_for(lambda: forwards_rest(stack))
    assert told(stack, email) == [503, 200]
    [told_as] = [
        json.loads(each["body"])
        for each in control(stack, "quikly")["calls"]
        if email in each["body"] and each["status"] == 200
    ]
    assert told_as == {"q_scope": "demo-forward", "event": "demo-action", "email": email}


def forwards_rest(stack: StackFile) -> bool:
    counts = (
        stack.session()
        .client("sqs", **stack.client_options())
        .get_queue_attributes(
            QueueUrl=stack.queues["forward"],
            AttributeNames=[
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesNotVisible",
            ],
        )["Attributes"]
    )
    return all(count == "0" for count in counts.values())


def test_what_quikly_refuses_is_kept_with_its_cause_and_can_be_sent_again(
    stack: StackFile,
) -> None:
    """A 404, as for a wrong address, parks the message; a replay delivers it to Quikly."""
    email = new_person()
    control(
        stack,
        "faults",
        {"path": "/quikly/webhook/braze", "match": email, "times": 1, "status": 404},
    )
    call(stack, "demo-forward", email)

    def parked() -> list[dict[str, Any]]:
        words = ["rejected", "list", "--source", "quikly_webhook", "--json"]
        result = CliRunner().invoke(app, [*words, "--dir", str(Path(stack.logs).parent)])
        return list(json.loads(result.stdout)["rows"])

    assert wait_for(lambda: len(parked()) == 1)
    [row] = parked()
    assert row["reasons"][0]["code"] == "quikly_refused"
    assert email not in json.dumps(row)
    replay = ["rejected", "replay", row["id"], "--dir", str(Path(stack.logs).parent)]
    assert CliRunner().invoke(app, replay).exit_code == 0
    assert wait_for(lambda: told(stack, email) == [404, 200])
    assert parked() == []


def test_a_crash_between_the_claim_and_the_queue_is_mended(stack: StackFile) -> None:
    """The claim is kept, nothing was sent: the next call sends it; without one, the sweep does."""
    table = stack.session().client("dynamodb", **stack.client_options())
    claims = Claims(
        DynamoClaimStore(table, stack.tables["claims"]),
        lambda: Activations.of(stack).secret,
        clock=SystemClock(),
        sleep=time.sleep,
        random=random.random,
    )
    rule = load_quikly(SHIPPED).activations["demo-decay"]
    calls_again, never_calls_again = new_person(), new_person()
    decided = [
        claims.claim(
            rule,
            read_call({"q_scope": "demo-decay", "event": "demo-action", "email": email}),
            datetime.now(UTC),
            "a-call-that-crashed",
        ).claim
        for email in (calls_again, never_calls_again)
    ]
    table.update_item(
        TableName=stack.tables["claims"],
        Key={"id": {"S": decided[1].row_id}},
        UpdateExpression="SET due_at = :past",  # as if its two minutes were over
        ExpressionAttributeValues={":past": {"N": "1"}},
    )

    assert call(stack, "demo-decay", calls_again)[1]["status"] == "awarded"
    assert invoke(stack, "quikly_webhook_sweep")["swept"] >= 1

    for email, claim in zip((calls_again, never_calls_again), decided, strict=True):
        assert wait_for(partial(was_awarded_once, stack, email))
        assert claim.award is not None
        assert profile(stack, email)["custom_attributes"]["quikly_value"] == claim.award.value


def test_what_is_pasted_into_braze_wins(stack: StackFile) -> None:
    """The files of docs/quikly, rendered by a Liquid engine for a person: answered, and shown."""
    email, customer = new_person(), f"customer-{uuid.uuid4().hex[:8]}"
    person = {"email_address": email, "user_id": customer}
    pasted = requests.post(
        f"{stack.api_url}/quikly/webhook",
        data=json.dumps(
            rendered(person, q_scope="demo-decay", event="demo-action", dispatch_id="d-1")
        ),
        headers=headers(stack.tokens["braze_webhook"]),
        timeout=CALL_SECONDS,
    )

    assert (pasted.status_code, pasted.json()["status"]) == (200, "awarded")
    assert wait_for(
        lambda: any(
            found.get("external_id") == customer and found.get("events")
            for found in control(stack, "profiles")
        )
    )
    without_email = rendered({}, q_scope="demo-decay", event="demo-action", dispatch_id="d-1")
    assert without_email["email"] == ""
    assert call(stack, "demo-decay", without_email["email"])[0] == 422


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")
def test_the_curl_line_that_people_are_given_is_answered(stack: StackFile) -> None:
    """As it stands in docs/quikly, in a shell."""
    line = (FOLDER / "curl.txt").read_text().replace("curl -i", "curl -s --noproxy '*'")
    done = subprocess.run(  # noqa: S603 - our own file
        ["/bin/sh", "-c", line.replace("you@example.com", new_person())],
        env={
            "PATH": os.environ["PATH"],
            "WEBHOOK_URL": f"{stack.api_url}/quikly/webhook",
            "WEBHOOK_TOKEN": stack.tokens["braze_webhook"],
        },
        capture_output=True,
        timeout=CALL_SECONDS,
        check=True,
    )

    assert json.loads(done.stdout)["status"] in {"awarded", "no_award"}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"q_scope": "no-such-activation"}, 422),
        ({"event": "something-else"}, 422),
        ({"email": ""}, 422),
        ({"email": "   "}, 422),
        ({"email": None}, 422),
        ({"padding": "x" * 100_000}, 200),
        ({"padding": "x" * 262_144}, 413),
    ],
    ids=["scope", "event", "no address", "blank", "null", "100 KB", "256 KB"],
)
def test_odd_calls_are_answered_clearly_and_keep_nothing(
    stack: StackFile, change: dict[str, Any], status: int
) -> None:
    """Never a 5xx, and a 4xx leaves no row behind."""
    rejected = stack.session().client("dynamodb", **stack.client_options())
    before = rejected.scan(TableName=stack.tables["rejected"], Select="COUNT")["Count"]

    answered, _ = call(stack, **{"scope": "demo-decay", "email": new_person()} | change)

    assert answered == status
    after = rejected.scan(TableName=stack.tables["rejected"], Select="COUNT")["Count"]
    assert after == before


@pytest.mark.parametrize("name", [None, "outgrow", "quikly"])
def test_only_the_webhook_s_own_token_opens_it(stack: StackFile, name: str | None) -> None:
    """A partner's token is not Braze's."""
    token = {} if name is None else {"Authorization": f"Bearer {stack.tokens[name]}"}

    answer = requests.post(
        f"{stack.api_url}/quikly/webhook", json={}, headers=token, timeout=CALL_SECONDS
    )

    assert answer.status_code == 401
    assert "reasons" not in answer.text


def test_a_draw_is_held_once_its_winners_are_told_and_anyone_can_verify_it(
    stack: StackFile,
) -> None:
    """Ten enter; one draw by command; profiles of winners and others show it; it verifies."""
    people = [new_person() for _ in range(10)]
    for email in people:
        assert call(stack, "demo-draw", email) == (200, {"status": "entered"})
    invoke(stack, "quikly_webhook_sweep")

    result = bridge(stack, "draw", "demo-draw", "--yes")

    assert bridge(stack, "draw", "demo-draw") == result
    state = bridge(stack, "status", "demo-draw")
    assert commitment_to(bytes.fromhex(result["seed"])) == state["commitment"]
    assert bridge(stack, "verify", "demo-draw")["holds"] is True
    assert (state["phase"], state["awarded"], len(result["winners"])) == ("drawn", 3, 3)
    listed = bridge(stack, "list", "demo-draw")["claims"]
    assert {each["claimant"] for each in result["winners"]} == {
        each["claimant"] for each in listed if each["status"] == "awarded"
    }
    assert call(stack, "demo-draw", new_person()) == (200, {"status": "closed"})

    invoke(stack, "quikly_webhook_sweep")
    answers = {email: call(stack, "demo-draw", email)[1] for email in people}

    def shown(email: str) -> str | None:
        found = profile(stack, email).get("custom_attributes", {})
        status: str | None = found.get("quikly_status")
        return status

    assert {answer["status"] for answer in answers.values()} <= {"awarded", "no_award"}
    assert wait_for(
        lambda: (
            {email: shown(email) for email in people}
            == {email: answer["status"] for email, answer in answers.items()}
        )
    )
