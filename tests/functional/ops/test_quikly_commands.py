"""`bridge acquisition`, `activation` and `forget` on tables as the template has them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import boto3
import pytest
from typer.testing import CliRunner

from braze_bridge.aws.secrets import SecretsManagerSource
from braze_bridge.clock import SystemClock
from braze_bridge.keys import claims_key, fingerprint_key
from braze_bridge.ledger.erasure import is_only_erased
from braze_bridge.ledger.fingerprints import Fingerprints
from braze_bridge.ledger.person_memory import decode
from braze_bridge.partner_config.quikly_activations import Status
from braze_bridge.partner_config.toml_files import load_quikly
from ops.activations.dynamo_book import DynamoActivationBook
from ops.bridge import app
from ops.stack.access import SecretsAccess, StackAccess, Stacks
from ops.stack.config_directory import CONFIG_DIRECTORY
from quikly_acquisition.dynamo_records import DynamoAcquisitionRecords
from quikly_acquisition.models import PersonKey
from quikly_acquisition.records import Known
from quikly_webhook.claim_records import Award, Claimer, ClaimRecord, claim_row_id, to_row
from quikly_webhook.claims import publish_commitments
from quikly_webhook.draws import claimant_of
from quikly_webhook.dynamo_claims import DynamoClaimStore
from tests.fakes.acquisitions import record
from tests.functional.ops.conftest import REGION
from tests.infra.template import Template

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

STACK: Final = "bridge-test"
TABLES: Final = {
    "rejected": "RejectedTable",
    "ledger": "LedgerTable",
    "acquisitions": "AcquisitionTable",
    "claims": "ClaimsTable",
}
ADA: Final = "ada@example.com"
SECRET: Final = "a secret for the claims of this test"


class Deployed(Stacks):
    """A stack with its tables and queues, and the command on it."""

    def __init__(self) -> None:
        self.dynamodb = boto3.client("dynamodb", region_name=REGION)
        sqs = boto3.client("sqs", region_name=REGION)
        template = Template()
        wanted = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
        for name, resource in TABLES.items():
            given = template.properties(resource)
            properties: dict[str, Any] = {each: given[each] for each in wanted if each in given}
            self.dynamodb.create_table(TableName=name, **properties)
        queues = {
            f"{name}_queue": sqs.create_queue(QueueName=name)["QueueUrl"]
            for name in (
                "delivery",
                "delivery_dead_letter",
                "acquisition",
                "acquisition_dead_letter",
                "forward",
                "forward_dead_letter",
            )
        }
        self.keeper = boto3.client("secretsmanager", region_name=REGION)
        for name, value in (("ledger", "k" * 48), ("claims", SECRET)):
            text = json.dumps({"current": value, "previous": ""})
            self.keeper.create_secret(Name=f"{STACK}/{name}", SecretString=text)
        self.access = StackAccess(
            name=STACK,
            rejected_table="rejected",
            ledger_table="ledger",
            acquisitions_table="acquisitions",
            claims_table="claims",
            sqs=sqs,
            dynamodb=self.dynamodb,
            **queues,
        )
        self.records = DynamoAcquisitionRecords(
            self.dynamodb,
            "acquisitions",
            clock=SystemClock(),
            key=fingerprint_key(self.secret("ledger")),
        )
        self.book = DynamoActivationBook(self.dynamodb, "claims")

    def secret(self, name: str) -> SecretsManagerSource:
        return SecretsManagerSource(f"{STACK}/{name}", lambda: self.keeper)

    def open(self, stack: str | None, region: str | None, folder: Path) -> StackAccess:
        return self.access

    def open_secrets(self, stack: str | None, region: str | None, folder: Path) -> SecretsAccess:
        return SecretsAccess(STACK, self.keeper)

    def run(self, *words: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(app, [*words, "--stack", STACK], input=answer, obj=self)

    def json(self, *words: str, exit_code: int = 0) -> Any:
        result = self.run(*words, "--json")
        assert result.exit_code == exit_code, result.output
        return json.loads(result.stdout)

    def enter(self, *people: str, scope: str = "demo-draw", **facts: Any) -> list[str]:
        """Entries (or other claims) as the webhook keeps them, counted in their shards."""
        key = claims_key(self.secret("claims"))()
        claimants = [claimant_of(key, scope, each) for each in people]
        for email, claimant in zip(people, claimants, strict=True):
            given: dict[str, Any] = {
                "status": Status.ENTERED,
                "decided_at": SystemClock().now() - timedelta(minutes=5),
                "claimer": Claimer(email, external_id=f"id of {email}"),
            }
            claim = ClaimRecord(scope, claimant, "demo-action", correlation_id="c", **given | facts)
            self.dynamodb.put_item(TableName="claims", Item=to_row(claim))
            self.dynamodb.update_item(
                TableName="claims",
                Key={"id": {"S": f"e#{scope}#{claimant[0]}"}},
                UpdateExpression="ADD entries :one",
                ExpressionAttributeValues={":one": {"N": "1"}},
            )
        return claimants

    def publish(self) -> None:
        """The commitments, before the first entry."""
        config = load_quikly(CONFIG_DIRECTORY)
        now = SystemClock().now() - timedelta(hours=1)
        publish_commitments(
            DynamoClaimStore(self.dynamodb, "claims").commit,
            config.activations,
            claims_key(self.secret("claims")),
            now,
        )


@pytest.fixture
def deployed(aws: None) -> Deployed:
    return Deployed()


# -- acquisition -------------------------------------------------------------------------------


def test_an_acquisition_is_found_by_its_id_its_address_and_its_number(deployed: Deployed) -> None:
    """Its history, and nothing personal; the newest first."""
    now = SystemClock().now()
    older = record(number=1, at=now - timedelta(hours=1))
    newer = record("texts", number=2, at=now)
    for each in (older, newer):
        deployed.records.begin(each, None)

    (by_id,) = deployed.json("acquisition", "show", older.acquisition_id)["acquisitions"]
    by_address = deployed.json("acquisition", "show", " ADA@example.com ")["acquisitions"]
    by_number = deployed.json("acquisition", "show", "+49 1511 2345678")["acquisitions"]
    asked = deployed.run("acquisition", "show", answer=f"{ADA}\n")

    assert (by_id["state"], by_id["next"], by_id["q_scope"]) == ("pending", "look_up", "news")
    ids = [each["acquisition_id"] for each in by_address]
    assert ids == [newer.acquisition_id, older.acquisition_id]
    assert [each["acquisition_id"] for each in by_number] == [newer.acquisition_id]
    assert ADA not in json.dumps([by_id, by_address]) + asked.output
    assert newer.acquisition_id in asked.stdout
    assert "accepted" in asked.stdout


@pytest.mark.parametrize(
    ("who", "exit_code"),
    [("acquisition-999999", 1), ("nobody@example.com", 1), ("no@address", 2), ("+1", 2)],
)
def test_an_unknown_person_is_exit_1_and_an_invalid_identifier_is_exit_2(
    deployed: Deployed, who: str, exit_code: int
) -> None:
    """The exit codes are those of every command."""
    assert deployed.run("acquisition", "show", who).exit_code == exit_code


def test_a_table_that_is_not_there_is_exit_3(deployed: Deployed) -> None:
    """For acquisitions and for claims."""
    for table in ("acquisitions", "claims"):
        deployed.dynamodb.delete_table(TableName=table)

    assert deployed.run("acquisition", "show", "acquisition-999999").exit_code == 3
    for command in ("status", "list", "verify"):
        assert deployed.run("activation", command, "demo-draw").exit_code == 3


# -- activation --------------------------------------------------------------------------------


def test_the_activations_of_the_file_are_listed_whole(deployed: Deployed) -> None:
    """Each with its mode and its tiers; names are never cut."""
    shown = deployed.run("activation", "list").stdout
    listed = deployed.json("activation", "list")["activations"]

    assert {each["q_scope"] for each in listed} == set(load_quikly(CONFIG_DIRECTORY).activations)
    for each in listed:
        assert f"{each['q_scope']} " in shown


def test_a_scope_that_the_file_does_not_have_is_a_usage_error(deployed: Deployed) -> None:
    """With those that it has."""
    result = deployed.run("activation", "status", "demo-drow")

    assert result.exit_code == 2
    assert "demo-draw" in result.output


def test_a_draw_asks_first_is_held_once_and_can_be_verified(deployed: Deployed) -> None:
    """A no changes nothing; a draw is final; status, list and verify agree; no person is named."""
    deployed.publish()
    entered = deployed.enter(*(f"{number}@example.com" for number in range(6)))
    assert deployed.json("activation", "verify", "demo-draw", exit_code=1)["holds"] is False

    refused = deployed.run("activation", "draw", "demo-draw", answer="n\n")
    before = deployed.json("activation", "status", "demo-draw")
    first = deployed.json("activation", "draw", "demo-draw", "--yes")
    again = deployed.json("activation", "draw", "demo-draw")
    after = deployed.json("activation", "status", "demo-draw")

    assert refused.exit_code == 1
    assert "among 6 people, for 3 prizes" in refused.stderr
    assert (before["phase"], before["statuses"]) == ("open", {"entered": 6})
    assert before["commitment"]
    assert first == again
    assert first["entries"] == 6
    assert {each["claimant"] for each in first["winners"]} <= set(entered)
    assert [each["tier"] for each in first["winners"]].count("main") == 1
    assert (after["phase"], after["awarded"], after["remaining"]) == ("drawn", 3, 0)
    verified = deployed.json("activation", "verify", "demo-draw")
    assert (verified["holds"], verified["checked"]) == (True, 6)
    text = "".join(
        deployed.run("activation", command, "demo-draw").stdout
        for command in ("status", "list", "draw", "verify")
    )
    assert first["seed"] in text
    assert "@" not in text
    assert all(claimant in text for claimant in entered)


def test_an_altered_outcome_is_found(deployed: Deployed) -> None:
    """A claim with a tier that was not drawn: exit 1, with its hash."""
    deployed.publish()
    deployed.enter(*(f"{number}@example.com" for number in range(4)))
    deployed.run("activation", "draw", "demo-draw", "--yes")
    loser = next(
        claim for claim in deployed.book.claims("demo-draw") if claim.status is Status.NO_AWARD
    )
    forged = loser._replace(status=Status.AWARDED, award=Award("main"))
    deployed.dynamodb.put_item(TableName="claims", Item=to_row(forged))

    result = deployed.run("activation", "verify", "demo-draw")

    assert result.exit_code == 1
    assert loser.claimant in result.stderr


def test_only_the_mode_draw_can_be_drawn(deployed: Deployed) -> None:
    """The error comes before any question."""
    result = deployed.run("activation", "draw", "demo-first")

    assert result.exit_code == 1
    assert "is no draw but of mode first" in result.stderr


# -- forgetting --------------------------------------------------------------------------------


def test_a_person_is_forgotten_by_acquisitions_and_claims(deployed: Deployed) -> None:
    """Ids in the answer, no address in any table; the person cannot claim again."""
    now = SystemClock().now()
    deployed.records.begin(record(at=now), None)
    deployed.records.begin(record("texts", number=1, email="bob@example.com", at=now), None)
    deployed.records.remember({PersonKey("email", ADA): Known(kind="email", seen_at=now)})
    (claimant, _) = deployed.enter(ADA, "bob@example.com")

    held = deployed.json("forget", "email", ADA, "--dry-run")["held"]
    shown = deployed.json("forget", "email", ADA, "--yes")

    assert [each.partition("#")[0] for each in held["acquisitions"]] == [
        "acquisition-000000",
        "known",
    ]
    assert held["claims"] == [claim_row_id("demo-draw", claimant)]
    assert shown["erased"] == {"rejected table": 0, "ledger": 0, "acquisitions": 2, "claims": 1}
    assert "no person wins twice" in json.dumps(shown["not_reached"])
    rows = [row for name in TABLES for row in deployed.dynamodb.scan(TableName=name)["Items"]]
    assert ADA not in repr(rows)
    assert "bob@example.com" in repr(rows)
    kept = {claim.claimant: claim for claim in deployed.book.claims("demo-draw")}
    assert kept[claimant].claimer is None
    assert kept[claimant].due_at is None
    assert not any(deployed.json("forget", "email", ADA, "--yes")["held"].values())


def test_no_row_leads_to_an_erased_acquisition(deployed: Deployed) -> None:
    """Neither the caller's key, nor the pending person, nor the list of the other identifier."""
    now = SystemClock().now()
    other = record("texts", number=1, email="bob@example.com", phone="+4915119999999", at=now)
    deployed.records.begin(record("texts", at=now), "order 7")
    deployed.records.begin(other, None)
    before = len(deployed.dynamodb.scan(TableName="acquisitions")["Items"])

    deployed.json("forget", "email", ADA, "--yes")

    left = deployed.dynamodb.scan(TableName="acquisitions")["Items"]
    gone = record("texts").acquisition_id
    assert before > len(left) > 0
    assert gone not in json.dumps(left)
    assert other.acquisition_id in json.dumps(left)


def test_an_erasure_is_remembered_for_every_identifier_that_was_found(deployed: Deployed) -> None:
    """For 30 days, so that a job that waits in a queue makes no new profile; settled jobs too."""
    deployed.enter(ADA)

    deployed.json("forget", "email", ADA, "--yes")

    prints = Fingerprints(fingerprint_key(deployed.secret("ledger"))())
    for person in (("email", ADA), ("external_id", f"id of {ADA}")):
        key = {"id": {"S": prints.person(person)}}
        item = deployed.dynamodb.get_item(TableName="ledger", Key=key)["Item"]
        assert is_only_erased(decode(item["memory"]["B"]), prints)
        assert int(item["expires_at"]["N"]) > SystemClock().now().timestamp() + 29 * 86_400


def test_claims_are_erased_on_request_and_an_entry_of_a_draw_stays(deployed: Deployed) -> None:
    """Also a claim whose address is erased; the published count of a draw stays right."""
    (won,) = deployed.enter(ADA, scope="demo-first", status=Status.AWARDED, claimer=None)
    (entered,) = deployed.enter(ADA)

    held = deployed.json("forget", "email", ADA, "--dry-run")["held"]
    assert held["claims"] == [claim_row_id("demo-draw", entered)]
    erased = deployed.json("forget", "email", ADA, "--claims", "--yes")["erased"]

    assert erased["claims"] == 2
    ids = [row["id"]["S"] for row in deployed.dynamodb.scan(TableName="claims")["Items"]]
    assert claim_row_id("demo-first", won) not in ids
    assert claim_row_id("demo-draw", entered) in ids
    assert ADA not in json.dumps(deployed.dynamodb.scan(TableName="claims")["Items"])


def test_a_claimer_is_found_by_the_id_that_came_along(deployed: Deployed) -> None:
    """The output says that acquisitions are found by address only."""
    deployed.enter(ADA)

    shown = deployed.json("forget", "external_id", f"id of {ADA}", "--yes")

    assert shown["erased"]["claims"] == 1
    assert "acquisitions are found by e-mail" in json.dumps(shown["not_reached"])
