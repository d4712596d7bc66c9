"""Acquisitions on moto's DynamoDB, and their steps on moto's SQS."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from braze_bridge.aws.secrets import SecretUnavailableError
from quikly_acquisition.actions import Refused
from quikly_acquisition.dynamo_records import DynamoAcquisitionRecords, DynamoDueSteps
from quikly_acquisition.models import PersonKey, State, parse_step
from quikly_acquisition.records import (
    GRACE,
    KNOWN_RETENTION,
    REQUEUED,
    Begun,
    IdempotencyKeyReusedError,
    Known,
    RecordsUnavailableError,
)
from quikly_acquisition.step_queue import QueuedStep, SqsStepQueue
from quikly_acquisition.workflow import observe
from tests.fakes.acquisitions import RULES, SETTINGS, record
from tests.fakes.clock import NOON, FixedClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quikly_acquisition.models import AcquisitionRecord

TABLE = "acquisitions"
KEY = b"a key of the ledger's secret"
ADA = PersonKey("email", "ada@example.com")


class Cloud:
    """The table and the queue."""

    def __init__(self) -> None:
        self.client = boto3.client("dynamodb")
        self.clock = FixedClock()
        self.records = self.as_seen_by(TABLE)
        self.due = DynamoDueSteps(self.client, TABLE)

    def as_seen_by(self, table: str) -> DynamoAcquisitionRecords:
        return DynamoAcquisitionRecords(self.client, table, clock=self.clock, key=lambda: KEY)

    def rows(self) -> dict[str, dict[str, Any]]:
        return {row["id"]["S"]: row for row in self.client.scan(TableName=TABLE)["Items"]}

    def finish(self, one: AcquisitionRecord) -> AcquisitionRecord:
        ended = observe(one, Refused("no"), RULES[one.q_scope], SETTINGS, self.clock.now(), 0.5)
        assert self.records.save(ended, self.clock.now())
        return ended


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    for name, value in {
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        boto3.client("dynamodb").create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[
                {"AttributeName": "id", "AttributeType": "S"},
                {"AttributeName": "due_partition", "AttributeType": "S"},
                {"AttributeName": "due_at", "AttributeType": "N"},
            ],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by_due",
                    "KeySchema": [
                        {"AttributeName": "due_partition", "KeyType": "HASH"},
                        {"AttributeName": "due_at", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["version"]},
                }
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        yield Cloud()


def test_a_record_is_read_as_it_was_kept(cloud: Cloud) -> None:
    """One by one and many at once; a missing record is ``None``."""
    first, second = record(), record("texts", number=1, attributes={"size": 3.5})
    for one in (first, second):
        assert cloud.records.begin(one, None) == Begun(one.acquisition_id, is_new=True)
    assert cloud.records.get(first.acquisition_id) == first
    ids = [first.acquisition_id, second.acquisition_id, "there-is-no-such-one"]
    assert cloud.records.load(ids) == (
        dict(zip(ids, (first, second, None), strict=True)),
        frozenset(),
    )


def test_no_row_is_found_under_an_address(cloud: Cloud) -> None:
    """Only the record itself holds it; every other row has keyed hashes."""
    cloud.records.begin(record("texts"), "ada@example.com")
    for name, row in cloud.rows().items():
        if not name.startswith("a#"):
            assert "ada@example.com" not in str(row)
            assert "4915112345678" not in str(row)


def test_the_same_person_pending_is_the_same_acquisition(cloud: Cloud) -> None:
    """With any key; another scope or number is another acquisition."""
    first = record("texts")
    cloud.records.begin(first, "one")
    again = record("texts", number=1)
    assert cloud.records.begin(again, "two") == Begun(first.acquisition_id, is_new=False)
    assert cloud.records.begin(again, None) == Begun(first.acquisition_id, is_new=False)
    other = record("asked", number=2)
    assert cloud.records.begin(other, None).is_new
    number = record("texts", number=3, phone="+4915187654321")
    assert cloud.records.begin(number, None).is_new


def test_the_same_key_is_the_same_acquisition_also_when_it_is_over(cloud: Cloud) -> None:
    """A resend a day later begins nothing; nor does a key that came while another was pending."""
    first = record()
    cloud.records.begin(first, "key")
    cloud.records.begin(record(number=1), "late key")
    cloud.finish(first)
    for key in ("key", "late key"):
        begun = cloud.records.begin(record(number=2), key)
        assert begun == Begun(first.acquisition_id, is_new=False)


def test_a_key_with_another_person_is_refused(cloud: Cloud) -> None:
    """It must not answer with another person's acquisition."""
    cloud.records.begin(record(), "key")
    with pytest.raises(IdempotencyKeyReusedError):
        cloud.records.begin(record(number=1, email="bob@example.com"), "key")
    assert cloud.records.load(["acquisition-000001"]).found == {"acquisition-000001": None}


def test_a_person_whose_acquisition_is_over_may_begin_again(cloud: Cloud) -> None:
    """The end releases the person."""
    first = record()
    cloud.records.begin(first, None)
    cloud.finish(first)
    assert not any(name.startswith("p#") for name in cloud.rows())
    assert cloud.records.begin(record(number=1), None) == Begun("acquisition-000001", is_new=True)


def test_a_person_that_was_not_released_is_taken_over(cloud: Cloud) -> None:
    """The worker crashed between the end and the release."""
    first = record()
    cloud.records.begin(first, None)
    (held,) = [row for name, row in cloud.rows().items() if name.startswith("p#")]
    cloud.finish(first)
    cloud.client.put_item(TableName=TABLE, Item=held)
    second = record(number=1)
    assert cloud.records.begin(second, None).is_new
    assert not cloud.records.begin(record(number=2), None).is_new
    # The first one's late end does not release the second one's person.
    assert not cloud.records._release(first)  # what a delayed worker would still do
    assert not cloud.records.begin(record(number=3), None).is_new


def test_only_the_next_version_is_stored(cloud: Cloud) -> None:
    """Of two workers with one step, the second does not store."""
    first = record("texts")
    cloud.records.begin(first, None)
    changed = first.model_copy(update={"version": 2, "attempts": 1})
    assert cloud.records.save(changed, NOON)
    assert not cloud.records.save(changed, NOON)
    assert cloud.records.get(first.acquisition_id) == changed


def test_what_is_overdue_is_found_until_it_is_queued_or_over(cloud: Cloud) -> None:
    """In every partition of the index, oldest first; the sweep reads ids and versions only."""
    kept = [record(number=n, email=f"p{n}@example.com") for n in range(20)]
    for one in kept:
        cloud.records.begin(one, None)
    assert cloud.due.due(NOON + GRACE - timedelta(seconds=1), 100) == []
    late = NOON + GRACE
    found = cloud.due.due(late, 100)
    assert {step.message.acquisition_id for step in found} == {one.acquisition_id for one in kept}
    assert {step.due_at for step in found} == {late}
    assert len(cloud.due.due(late, 7)) == 7
    for number, one in enumerate(kept):
        first = one.model_copy(update={"version": 2})
        cloud.records.save(first, NOON + timedelta(seconds=(number * 7) % 20))
    oldest = [step.due_at - NOON for step in cloud.due.due(late, 7)]
    assert oldest == [timedelta(seconds=seconds) for seconds in range(7)]
    found = cloud.due.due(late, 100)
    cloud.due.queued([step.message for step in found[:15]], late)
    assert len(cloud.due.due(late, 100)) == 5
    assert len(cloud.due.due(late + REQUEUED, 100)) == 20
    cloud.finish(kept[0].model_copy(update={"version": 2}))
    assert len(cloud.due.due(late + REQUEUED, 100)) == 19


def test_a_step_that_went_on_meanwhile_is_not_put_off(cloud: Cloud) -> None:
    """It keeps its own due time, and a finished one does not return to the index."""
    one, over = record("texts"), record(number=1)
    for each in (one, over):
        cloud.records.begin(each, None)
    messages = [one.message, over.message]
    cloud.records.save(one.model_copy(update={"version": 2}), NOON)
    cloud.finish(over)
    cloud.due.queued(messages, NOON)
    assert [step.message.acquisition_id for step in cloud.due.due(NOON, 10)] == [one.acquisition_id]


def test_a_profile_is_remembered_for_a_while(cloud: Cloud) -> None:
    """Then Braze is asked again, whether or not DynamoDB has deleted the row."""
    known = Known(kind="external_id", value="ada", seen_at=NOON)
    cloud.records.remember({ADA: known})
    bob = PersonKey("email", "bob@example.com")
    assert cloud.records.recall([ADA, bob]) == {ADA: known}
    cloud.clock.advance(KNOWN_RETENTION.total_seconds())
    assert cloud.records.recall([ADA]) == {}


def test_erasing_leaves_nothing_of_a_person(cloud: Cloud) -> None:
    """Records finished or not, pending rows and remembered profiles: by e-mail or number."""
    first, second = record("texts"), record("news", number=1)
    for one in (first, second):
        cloud.records.begin(one, None)
    cloud.finish(second)
    others = record("texts", number=2, email="bob@example.com", phone="+4915187654321")
    cloud.records.begin(others, None)
    cloud.records.remember({ADA: Known(kind="braze_id", value="b", seen_at=NOON)})
    assert len(cloud.records.about(ADA)) == 2
    assert cloud.records.erase(ADA) == 2
    assert cloud.records.erase(ADA) == 0
    assert cloud.records.about(ADA) == []
    left = [name for name in cloud.rows() if not name.startswith("who#")]
    assert sorted(name.partition("#")[0] for name in left) == ["a", "p"]
    assert cloud.records.get(others.acquisition_id) == others
    assert cloud.records.begin(record("texts", number=3), None).is_new


def test_a_table_that_cannot_be_reached_says_so(cloud: Cloud) -> None:
    """Intake answers 503, the worker's messages go back, and a remembered profile is missing."""
    lost = cloud.as_seen_by("no-such-table")
    with pytest.raises(RecordsUnavailableError, match="ResourceNotFound"):
        lost.begin(record(), "key")
    with pytest.raises(RecordsUnavailableError):
        lost.get("acquisition-000000")
    with pytest.raises(RecordsUnavailableError):
        lost.load(["acquisition-000000"])
    with pytest.raises(RecordsUnavailableError):
        lost.save(record().model_copy(update={"version": 2}), NOON)
    with pytest.raises(RecordsUnavailableError):
        DynamoDueSteps(cloud.client, "no-such-table").due(NOON, 1)
    assert lost.recall([ADA]) == {}
    lost.remember({ADA: Known(kind="braze_id", value="b", seen_at=NOON)})


def test_without_the_ledgers_key_no_acquisition_begins(cloud: Cloud) -> None:
    """Without the key there is no hash to store it under."""

    def no_key() -> bytes:
        raise SecretUnavailableError("not set")

    keyless = DynamoAcquisitionRecords(cloud.client, TABLE, clock=cloud.clock, key=no_key)
    with pytest.raises(RecordsUnavailableError, match="not set"):
        keyless.begin(record(), None)
    assert cloud.rows() == {}


def test_an_expired_record_is_gone_before_dynamodb_deletes_it(cloud: Cloud) -> None:
    """Its time is compared here as well."""
    one = record()
    cloud.records.begin(one, None)
    cloud.clock.advance((one.expires_at - NOON).total_seconds())
    assert cloud.records.get(one.acquisition_id) is None
    assert cloud.records.load([one.acquisition_id]).found == {one.acquisition_id: None}


def spoil(cloud: Cloud, one: AcquisitionRecord) -> None:
    """Make a row that no version shipped so far can read, as after a rollback."""
    cloud.client.update_item(
        TableName=TABLE,
        Key={"id": {"S": f"a#{one.acquisition_id}"}},
        UpdateExpression="SET #record = :text",
        ExpressionAttributeNames={"#record": "record"},
        ExpressionAttributeValues={":text": {"S": '{"schema_version": 99}'}},
    )


def test_an_unreadable_record_is_named_and_does_not_affect_the_others(cloud: Cloud) -> None:
    """The others are read; the person's next request gets its id instead of endless 503s."""
    good, bad = record(), record("texts", number=1, email="bob@example.com")
    for one in (good, bad):
        cloud.records.begin(one, None)
    spoil(cloud, bad)
    found, unreadable = cloud.records.load([good.acquisition_id, bad.acquisition_id])
    assert found == {good.acquisition_id: good}
    assert unreadable == {bad.acquisition_id}
    again = record("texts", number=2, email="bob@example.com")
    assert cloud.records.begin(again, None) == Begun(bad.acquisition_id, is_new=False)


def test_an_unreadable_record_is_erased_with_the_rest(cloud: Cloud) -> None:
    """A person is erased, even if their records are unreadable."""
    good, bad = record(), record("texts", number=1)
    for one in (good, bad):
        cloud.records.begin(one, None)
    spoil(cloud, bad)
    assert cloud.records.erase(ADA) == 2
    assert [name for name in cloud.rows() if name.startswith("a#")] == []


def test_steps_are_queued_with_their_delay_ten_at_a_time(cloud: Cloud) -> None:
    """Delays are whole seconds, never shortened, and cut to the longest that SQS takes."""
    client = boto3.client("sqs")
    url = client.create_queue(QueueName="steps")["QueueUrl"]
    queue = SqsStepQueue(client, url)
    steps = [QueuedStep(record(number=n).message) for n in range(23)]
    assert list(queue.send(steps)) == []
    received: set[str] = set()
    while len(received) < 23:
        answer = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        received |= {parse_step(each["Body"]).acquisition_id for each in answer["Messages"]}
    later = [QueuedStep(record().message, 0.2), QueuedStep(record(number=1).message, 5000)]
    assert list(queue.send(later)) == []
    assert "Messages" not in client.receive_message(QueueUrl=url)
    assert list(SqsStepQueue(client, f"{url}-gone").send(steps)) == steps
    del cloud


def test_a_finished_state_is_kept_in_plain_sight_of_the_table(cloud: Cloud) -> None:
    """People who look at the table see states without reading records."""
    one = record()
    cloud.records.begin(one, None)
    ended = cloud.finish(one)
    row = cloud.rows()[f"a#{one.acquisition_id}"]
    assert (ended.state, row["state"]["S"]) == (State.FAILED, "failed")
    assert "due_at" not in row
