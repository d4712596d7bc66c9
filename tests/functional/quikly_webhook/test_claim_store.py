"""The claims table on moto, held to the same statements as the store in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.stub import Stubber
from moto import mock_aws

from braze_bridge.aws import clients
from braze_bridge.partner_config.quikly_activations import Mode, Status, Tier
from ops.activations import actions as activations
from ops.activations.book import ActivationBook, BookUnavailableError, Drawn
from ops.activations.dynamo_book import DynamoActivationBook
from quikly_webhook.claim_records import Award, Claimer, ClaimRecord, of_row, to_row
from quikly_webhook.claim_store import (
    ClaimConflictError,
    ClaimStore,
    ClaimsUnavailableError,
    Enter,
    EntriesClosed,
    Exhausted,
    Existing,
    Overtaken,
    Recorded,
    Take,
)
from quikly_webhook.draws import commitment_to, seed_of
from quikly_webhook.dynamo_claims import DynamoClaimStore
from quikly_webhook.sweep import DueClaims, DynamoDueClaims
from tests.fakes.claims import SECRET, STACK_SINCE, InMemoryClaims, activation
from tests.fakes.clock import NOON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from types_boto3_dynamodb import DynamoDBClient

TABLE = "stack-claims"


class Table:
    """One table by its three ports."""

    def __init__(self, store: ClaimStore, book: ActivationBook, due: DueClaims) -> None:
        self.store = store
        self.book = book
        self.due = due


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def stubbed(credentials: None) -> DynamoDBClient:
    """A client whose every call the test answers."""
    return boto3.client("dynamodb", config=clients.bounded_config())


@pytest.fixture
def dynamodb(credentials: None) -> Iterator[DynamoDBClient]:
    with mock_aws():
        client = boto3.client("dynamodb", config=clients.bounded_config())
        client.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[
                {"AttributeName": "id", "AttributeType": "S"},
                {"AttributeName": "due_shard", "AttributeType": "S"},
                {"AttributeName": "due_at", "AttributeType": "N"},
            ],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by_due",
                    "KeySchema": [
                        {"AttributeName": "due_shard", "KeyType": "HASH"},
                        {"AttributeName": "due_at", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        yield client


@pytest.fixture(params=["memory", "moto"])
def table(request: pytest.FixtureRequest) -> Table:
    if request.param == "memory":
        memory = InMemoryClaims()
        return Table(memory, memory, memory)
    client = request.getfixturevalue("dynamodb")
    return Table(
        DynamoClaimStore(client, TABLE),
        DynamoActivationBook(client, TABLE),
        DynamoDueClaims(client, TABLE),
    )


def claim(claimant: str = "a1", **given: Any) -> ClaimRecord:
    usual: dict[str, Any] = {
        "event": "act",
        "status": Status.AWARDED,
        "award": Award("gold", "A trip", 2500, "EUR"),
        "claimer": Claimer("ada@example.com", "ext-1", None, may_create=False),
        "due_at": NOON + timedelta(seconds=120),
    }
    return ClaimRecord(
        q_scope=given.pop("q_scope", "launch"),
        claimant=claimant,
        decided_at=NOON,
        correlation_id="c-1",
        **usual | given,
    )


GOLD = Take("gold", 2, None)


@pytest.mark.parametrize(
    "record",
    [
        claim(),
        claim(award=None, status=Status.NO_AWARD, rank=7, response_ms=1500),
        claim(award=Award("consolation"), claimer=None, due_at=None, entered_at=NOON),
    ],
    ids=["everything", "no award", "forgotten"],
)
def test_row_holds_the_whole_claim(record: ClaimRecord) -> None:
    """A claim read from its row is the claim that was written."""
    assert of_row(to_row(record)) == record


def test_claim_can_be_found(table: Table) -> None:
    """A claim is found under its scope and claimant only, as it was recorded."""
    assert table.store.find("launch", "a1") is None

    assert table.store.record(claim(), GOLD) == Recorded()

    assert table.store.find("launch", "a1") == claim()
    assert table.store.find("other", "a1") is None
    assert table.store.find("launch", "a2") is None


@pytest.mark.parametrize("counted", [GOLD, None, Enter()], ids=["award", "none", "entry"])
def test_second_claim_meets_the_first(table: Table, counted: Take | Enter | None) -> None:
    """A person's second claim changes nothing, counts nothing, and returns the first."""
    table.store.record(claim(), counted)

    outcome = table.store.record(claim(event="other", award=Award("silver")), counted)

    assert outcome == Existing(claim())
    assert table.book.counters("launch").total == (1 if counted is GOLD else 0)


def test_tier_ends_at_its_quantity(table: Table) -> None:
    """Two of two are given: the third gets the counters, and may still win another tier."""
    assert table.store.record(claim("a1"), GOLD) == Recorded()
    assert table.store.record(claim("a2"), GOLD) == Recorded()

    outcome = table.store.record(claim("a3"), GOLD)

    assert isinstance(outcome, Exhausted)
    assert (dict(outcome.counters.taken), outcome.counters.total) == ({"gold": 2}, 2)
    assert table.store.find("launch", "a3") is None
    assert table.store.record(claim("a3"), Take("silver", 1, None)) == Recorded()


def test_total_ends_every_tier(table: Table) -> None:
    """The total counts over all tiers."""
    table.store.record(claim("a1"), Take("gold", 5, 2))
    table.store.record(claim("a2"), Take("silver", None, 2))

    outcome = table.store.record(claim("a3"), Take("bronze", 5, 2))

    assert isinstance(outcome, Exhausted)
    assert outcome.counters.total == 2


def test_exhausted_tier_still_tells_a_repeat_its_claim(table: Table) -> None:
    """If both conditions fail, the person's own claim counts."""
    table.store.record(claim("a1"), Take("gold", 1, None))

    assert table.store.record(claim("a1"), Take("gold", 1, None)) == Existing(claim("a1"))


def test_positions_rise(table: Table) -> None:
    """Positions start from 1, by activation."""
    ranks = [table.store.next_rank("launch") for _ in range(3)]

    assert (ranks, table.store.next_rank("other")) == ([1, 2, 3], 1)


def test_a_position_goes_with_its_award_or_not_at_all(table: Table) -> None:
    """If another claim took the position, the answer is the last one, exhausted tier or not."""
    store = table.store
    assert store.last_rank("launch") == 0
    assert store.record(claim("a1", rank=1), Take("gold", 1, None, after=0)) == Recorded()
    assert store.last_rank("launch") == 1

    assert store.record(claim("a2", rank=1), Take("gold", 1, None, after=0)) == Overtaken(1)
    assert store.record(claim("a1", rank=2), Take("silver", 1, None, after=1)) == Existing(
        claim("a1", rank=1)
    )
    outcome = store.record(claim("a2", rank=2), Take("gold", 1, None, after=1))

    assert isinstance(outcome, Exhausted)
    assert store.find("launch", "a2") is None
    assert (store.last_rank("launch"), store.next_rank("launch")) == (1, 2)


def test_closed_entries_take_no_entry(table: Table) -> None:
    """After the close no entry is added, and the others are counted."""
    entry = {"status": Status.ENTERED, "award": None}
    table.store.record(claim("a1", **entry), Enter())
    table.store.record(claim("b1", **entry), Enter())

    assert table.book.close_entries("launch", NOON) == 2

    assert table.store.record(claim("a2", **entry), Enter()) == EntriesClosed()
    assert table.store.record(claim("c1", **entry), Enter()) == EntriesClosed()
    assert table.store.record(claim("a1", **entry), Enter()) == Existing(claim("a1", **entry))
    assert table.book.close_entries("launch", NOON) == 2


def test_commitment_stays(table: Table) -> None:
    """The first commitment counts, with its time."""
    table.book.commit("launch", "c0ffee", NOON)
    table.book.commit("launch", "decade", NOON + timedelta(days=1))

    counters = table.book.counters("launch")
    assert (counters.commitment, counters.committed_at) == ("c0ffee", NOON)


def test_first_call_publishes_the_commitment_it_misses(table: Table) -> None:
    """Webhook and sweep publish the same thing: the first one counts, and both learn it."""
    assert table.store.commit("launch", "c0ffee", NOON) == "c0ffee"
    later = NOON + timedelta(days=1)

    assert table.store.commit("launch", "decade", later) == "c0ffee"
    assert table.book.commit("launch", "decade", later) == "c0ffee"

    table.store.record(claim("a1"), GOLD)
    counters = table.book.counters("launch")
    assert (counters.commitment, counters.committed_at) == ("c0ffee", NOON)
    assert counters.taken == {"gold": 1}


def test_due_claims_are_met_once(table: Table) -> None:
    """A claim is due from its time until it is settled; then its person is removed."""
    table.store.record(claim("a1"), None)
    table.store.record(claim("b1", status=Status.ENTERED, award=None), None)
    soon = NOON + timedelta(seconds=119)
    then = NOON + timedelta(seconds=120)

    assert list(table.due.due(soon)) == []
    met = sorted(table.due.due(then))
    for each in met:
        table.due.settle(each)

    assert [each.claimant for each in met] == ["a1", "b1"]
    assert list(table.due.due(then)) == []
    settled = table.store.find("launch", "a1")
    assert settled == claim("a1", claimer=None, due_at=None)
    entered = table.store.find("launch", "b1")
    assert entered is not None
    assert entered.claimer is not None, "its winner could not get the award"


def test_claim_decided_meanwhile_stays_due(table: Table) -> None:
    """What the sweep read before a draw does not settle what the draw decided."""
    entry = claim("a1", status=Status.ENTERED, award=None)
    table.store.record(entry, None)
    won = entry._replace(status=Status.AWARDED, award=Award("gold"))

    assert table.book.decide([won]) == 1
    table.due.settle(entry)

    assert table.store.find("launch", "a1") == won


def test_draw_end_to_end(table: Table) -> None:
    """A draw decides every entry once, also if it is run again; and it verifies."""
    rule = activation(Mode.DRAW, Tier("main", "A trip", 1), Tier("second", None, 2))
    for number in range(40):
        entrant = claim(f"{number % 16:x}{number}", status=Status.ENTERED, award=None)
        assert table.store.record(entrant, Enter()) == Recorded()
    table.store.record(claim("a1", q_scope="launch-2"), None)
    table.book.commit("launch", commitment_to(seed_of(SECRET, "launch")), NOON)
    later = NOON + timedelta(hours=1)

    first = activations.draw(rule, table.book, SECRET, later)
    again = activations.draw(rule, table.book, SECRET, later + timedelta(hours=1))

    assert again == first == table.book.closed("launch")
    assert isinstance(first, Drawn)
    assert first.closed.number == 40
    claims = list(table.book.claims("launch"))
    tiers = sorted(each.award.tier for each in claims if each.award)
    assert (len(claims), tiers) == (40, ["main", "second", "second"])
    assert {each.due_at for each in claims} == {later}
    assert activations.verify(rule, table.book, SECRET).problems == ()


def test_stack_is_as_old_as_its_table(dynamodb: DynamoDBClient) -> None:
    """Both ports return when the table was made, in UTC."""
    since = DynamoClaimStore(dynamodb, TABLE).stack_exists_since()

    assert since == DynamoActivationBook(dynamodb, TABLE).stack_exists_since()
    assert timedelta(0) <= datetime.now(UTC) - since < timedelta(minutes=5)
    assert since.tzinfo is UTC
    assert InMemoryClaims().stack_exists_since() == STACK_SINCE


def _cancelled(*codes: str) -> dict[str, Any]:
    return {"CancellationReasons": [{"Code": code, "Message": "said so"} for code in codes]}


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (("None", "TransactionConflict"), ClaimConflictError),
        (("TransactionConflict", "None"), ClaimConflictError),
        (("None", "ThrottlingError"), ClaimConflictError),
        (("ProvisionedThroughputExceeded", "None"), ClaimConflictError),
        (("None", "ValidationError"), ClaimsUnavailableError),
    ],
)
def test_cancelled_transactions_are_distinguished(
    stubbed: DynamoDBClient, codes: tuple[str, str], expected: type[Exception]
) -> None:
    """A conflict or a throttle asks for another try; other errors do not."""
    with Stubber(stubbed) as stub:
        stub.add_client_error(
            "transact_write_items",
            "TransactionCanceledException",
            modeled_fields=_cancelled(*codes),
        )
        with pytest.raises(expected):
            DynamoClaimStore(stubbed, TABLE).record(claim(), GOLD)


CALLS: dict[str, Callable[[ClaimStore], object]] = {
    "get_item": lambda store: store.find("launch", "a1"),
    "update_item": lambda store: store.next_rank("launch"),
    "put_item": lambda store: store.record(claim(), None),
    "transact_write_items": lambda store: store.record(claim(), GOLD),
    "describe_table": lambda store: store.stack_exists_since(),
    "get_item, to commit": lambda store: store.commit("launch", "c0ffee", NOON),
}


@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ProvisionedThroughputExceededException", ClaimConflictError),
        ("ThrottlingException", ClaimConflictError),
        ("TransactionConflictException", ClaimConflictError),
        ("InternalServerError", ClaimsUnavailableError),
        ("AccessDeniedException", ClaimsUnavailableError),
    ],
)
def test_dynamodb_errors_are_distinguished(
    stubbed: DynamoDBClient, operation: str, code: str, expected: type[Exception]
) -> None:
    """A busy table asks for another try; one that fails says so."""
    with Stubber(stubbed) as stub:
        stub.add_client_error(operation.partition(",")[0], code)
        with pytest.raises(expected):
            CALLS[operation](DynamoClaimStore(stubbed, TABLE))


@pytest.mark.parametrize("operation", CALLS)
def test_lost_answer_is_unavailable(stubbed: DynamoDBClient, operation: str) -> None:
    """Without an answer the outcome is unknown; the same claim learns it."""

    def lost(**_: Any) -> None:
        raise ReadTimeoutError(endpoint_url="https://dynamodb")

    stubbed.meta.events.register_first("before-call.dynamodb", lost)

    with pytest.raises(ClaimsUnavailableError):
        CALLS[operation](DynamoClaimStore(stubbed, TABLE))


BOOK_CALLS: dict[str, Callable[[ActivationBook], object]] = {
    "counters": lambda book: book.counters("launch"),
    "claims": lambda book: list(book.claims("launch")),
    "commit": lambda book: book.commit("launch", "c", NOON),
    "close_entries": lambda book: book.close_entries("launch", NOON),
    "closed": lambda book: book.closed("launch"),
    "decide": lambda book: book.decide([claim()]),
    "since": lambda book: book.stack_exists_since(),
}


@pytest.mark.parametrize("name", BOOK_CALLS)
def test_book_says_when_it_cannot_be_read(stubbed: DynamoDBClient, name: str) -> None:
    """Every command reports a table that does not answer."""

    def refused(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "Any")

    stubbed.meta.events.register_first("before-call.dynamodb", refused)

    with pytest.raises(BookUnavailableError):
        BOOK_CALLS[name](DynamoActivationBook(stubbed, TABLE))
