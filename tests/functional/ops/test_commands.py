"""``bridge rejected`` and ``bridge dlq`` on a deployed stack, in process."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import boto3
import pytest
from botocore.stub import Stubber
from typer.testing import CliRunner

from braze_bridge.clock import SystemClock
from braze_bridge.jobs.envelope import parse_job
from braze_bridge.jobs.rejected import DynamoRejectedStore, RejectedRecord
from braze_bridge.reasons import Reason
from ops.bridge import app
from ops.stack.access import (
    API_URL,
    OUTPUTS,
    StackAccess,
    Stacks,
    StackUnavailableError,
    outputs_of,
)
from tests.fakes.clock import NOON
from tests.fakes.delivery_jobs import job
from tests.functional.ops.conftest import REGION
from tests.infra.template import Template

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

STACK: Final = "bridge-test"
ADDRESS: Final = "ada@example.com"
BODY: Final = json.dumps({"id": "17", "contact": {"mail": ADDRESS}, "score": 5})


class OnlyStack(Stacks):
    """Finds one stack, and no other."""

    def __init__(self, access: StackAccess) -> None:
        self._access = access

    def open(self, stack: str | None, region: str | None, folder: Path) -> StackAccess:
        assert stack == self._access.name
        return self._access


class Deployed:
    """A stack, and the command on it."""

    def __init__(self, table_properties: dict[str, Any]) -> None:
        self.sqs = boto3.client("sqs", region_name=REGION)
        self.dynamodb = boto3.client("dynamodb", region_name=REGION)
        self.dynamodb.create_table(TableName="rejected", **table_properties)
        self.access = StackAccess(
            name=STACK,
            delivery_queue=self.sqs.create_queue(QueueName="delivery")["QueueUrl"],
            delivery_dead_letter_queue=self.sqs.create_queue(QueueName="dead")["QueueUrl"],
            acquisition_queue="",
            acquisition_dead_letter_queue="",
            forward_queue=self.sqs.create_queue(QueueName="forward")["QueueUrl"],
            forward_dead_letter_queue="",
            rejected_table="rejected",
            ledger_table="ledger",
            acquisitions_table="acquisitions",
            claims_table="claims",
            sqs=self.sqs,
            dynamodb=self.dynamodb,
        )
        self.store = DynamoRejectedStore(self.dynamodb, self.access.rejected_table)

    def bridge(self, *words: str, answer: str | None = None) -> Result:
        stacks = OnlyStack(self.access)
        return CliRunner().invoke(app, [*words, "--stack", STACK], input=answer, obj=stacks)

    def park(self, name: str, code: str = "no_identity", days: float = 0, **fields: Any) -> str:
        at = SystemClock().now() - timedelta(days=days)
        given: dict[str, Any] = {
            "id": f"body:{name}",
            "kind": "body",
            "source": "outgrow",
            "route": "/outgrow/quiz",
            "payload": BODY,
            "reasons": (Reason(code=code, field="person", detail=f"{ADDRESS} is wrong"),),
            "correlation_id": f"correlation-{name}",
            "first_seen": at,
            "last_seen": at,
        }
        self.store.park(RejectedRecord(**(given | fields)))
        return f"outgrow#body:{name}"

    def rows(self) -> list[str]:
        items = self.dynamodb.scan(TableName=self.access.rejected_table)["Items"]
        return sorted(item["id"]["S"] for item in items)

    def queued(self) -> list[str]:
        return self.waiting(self.access.delivery_queue)

    def dead(self) -> list[str]:
        return self.waiting(self.access.delivery_dead_letter_queue)

    def waiting(self, url: str) -> list[str]:
        answer = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        return [message["Body"] for message in answer.get("Messages", ())]

    def bury(self, body: str) -> None:
        self.sqs.send_message(QueueUrl=self.access.delivery_dead_letter_queue, MessageBody=body)


@pytest.fixture
def deployed(aws: None, table_properties: dict[str, Any]) -> Deployed:
    return Deployed(table_properties)


@pytest.fixture
def corrected(tmp_path: Path) -> str:
    """A folder with an ``outgrow.toml`` that finds the address of :data:`BODY`."""
    (tmp_path / "outgrow.toml").write_text(
        'schema_version = 1\n[default]\nresponse_id = ["id"]\n'
        '[default.person]\norder = ["email"]\nemail = ["contact.mail"]\n'
        '[default.attributes]\nscore = { from = ["score"], type = "number" }\n'
    )
    return str(tmp_path)


def test_the_outputs_that_are_read_are_the_template_s() -> None:
    """A renamed output would make every command fail."""
    outputs = Template().plain["Outputs"]

    assert {*OUTPUTS.values(), API_URL} <= outputs.keys()


def test_a_list_shows_what_and_why_and_nothing_personal(deployed: Deployed) -> None:
    """For people and as JSON: ids, codes, fields, times."""
    deployed.park("1")
    deployed.park("2", "braze_refused", kind="objects", route=None)
    deployed.park("3", route=f"/outgrow/{ADDRESS}")
    deployed.park("4", reasons=(Reason(code="unreadable_job", field=ADDRESS),))

    text, data = deployed.bridge("rejected", "list"), deployed.bridge("rejected", "list", "--json")

    assert (text.exit_code, data.exit_code) == (0, 0)
    assert ADDRESS not in text.output + data.output
    listed = {row["id"]: row for row in json.loads(data.stdout)["rows"]}
    assert sorted(listed) == [
        "outgrow#body:1",
        "outgrow#body:2",
        "outgrow#body:3",
        "outgrow#body:4",
    ]
    assert all(row_id in text.stdout for row_id in listed)
    assert listed["outgrow#body:1"]["reasons"] == [{"code": "no_identity", "field": "person"}]
    assert listed["outgrow#body:1"]["route"] == "/outgrow/quiz"
    assert (listed["outgrow#body:2"]["route"], listed["outgrow#body:3"]["route"]) == (None, None)


def test_a_list_can_be_filtered_and_read_on(deployed: Deployed) -> None:
    """By reason, source, kind and age; page by page."""
    deployed.park("new")
    deployed.park("old", days=3)
    deployed.park("other", "braze_refused", source="iterate", kind="objects")

    def listed(*options: str) -> Any:
        return json.loads(deployed.bridge("rejected", "list", "--json", *options).stdout)

    def ids(*options: str) -> list[str]:
        return [row["id"] for row in listed(*options)["rows"]]

    assert ids("--reason", "no_identity") == ["outgrow#body:new", "outgrow#body:old"]
    assert ids("--older-than", "2d") == ["outgrow#body:old"]
    assert ids("--newer-than", "2d", "--source", "outgrow") == ["outgrow#body:new"]
    assert ids("--kind", "objects") == ["iterate#body:other"]
    first = listed("--reason", "no_identity", "--limit", "1")
    assert ids("--reason", "no_identity", "--after", first["cursor"]) == ["outgrow#body:old"]


@pytest.mark.parametrize(
    "words",
    [
        ["list", "--older-than", "soon"],
        ["list", "--older-than", "2d", "--newer-than", "1d"],
        ["list", "--after", "nowhere"],
        ["list", "--kind", "other"],
        ["list", "--limit", "0"],
        ["replay"],
        ["replay", "outgrow#body:1", "--all"],
        ["drop"],
        ["drop", "outgrow#body:1", "--reason", "no_identity"],
    ],
)
def test_contradictory_options_are_a_usage_error(deployed: Deployed, words: list[str]) -> None:
    """Exit 2, and nothing changed."""
    deployed.park("1")

    assert deployed.bridge("rejected", *words).exit_code == 2
    assert deployed.rows() == ["outgrow#body:1"]


def test_counts_name_every_reason(deployed: Deployed) -> None:
    """And their sum."""
    deployed.park("1")
    deployed.park("2")
    deployed.park("3", "braze_refused")

    text, data = (
        deployed.bridge("rejected", "count"),
        deployed.bridge("rejected", "count", "--json"),
    )

    assert json.loads(data.stdout) == {
        "reasons": {"no_identity": 2, "braze_refused": 1},
        "total": 3,
    }
    assert [line.split() for line in text.stdout.splitlines()] == [
        ["REASON", "ROWS"],
        ["no_identity", "2"],
        ["braze_refused", "1"],
        ["(all)", "3"],
    ]


def test_only_show_prints_the_answers(deployed: Deployed) -> None:
    """The payload as it came, with Braze's own words."""
    row_id = deployed.park("1")

    text = deployed.bridge("rejected", "show", row_id)
    data = json.loads(deployed.bridge("rejected", "show", row_id, "--json").stdout)

    assert BODY in text.stdout
    assert f"no_identity: person: {ADDRESS} is wrong" in text.stdout
    assert (data["payload"], data["sightings"], data["route"]) == (BODY, 1, "/outgrow/quiz")
    assert deployed.bridge("rejected", "show", "outgrow#body:2").exit_code == 1


def test_a_replay_sends_by_the_given_files_and_repeated_does_nothing(
    deployed: Deployed, corrected: str
) -> None:
    """With the shipped file it stays, exit 1; the corrected file sends it; then none is left."""
    row_id = deployed.park("1")

    stays = deployed.bridge("rejected", "replay", row_id, "--json")
    assert (stays.exit_code, json.loads(stays.stdout)["counts"]) == (1, {"still_rejected": 1})
    options = ["rejected", "replay", "--all", "--config-dir", corrected]
    dry = deployed.bridge(*options, "--dry-run")
    assert (dry.exit_code, deployed.rows(), deployed.queued()) == (0, [row_id], [])
    done = deployed.bridge(*options, "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["results"] == [
        {
            "record_id": row_id,
            "result": "sent",
            "job_id": "outgrow:quiz:17:fbd5b2abd6d5",
            "reasons": [],
        }
    ]
    (sent,) = deployed.queued()
    assert parse_job(sent).attributes == {"score": 5}
    again = deployed.bridge(*options)

    assert (again.exit_code, deployed.queued(), deployed.rows()) == (0, [], [])
    assert ADDRESS not in stays.output + dry.output + done.output + again.output


def test_a_replay_by_an_id_that_is_not_there_exits_1(deployed: Deployed) -> None:
    """Nothing is sent for it."""
    gone = deployed.bridge("rejected", "replay", "outgrow#body:none")

    assert (gone.exit_code, gone.stdout.split()) == (1, ["gone", "outgrow#body:none"])


def test_a_faulty_file_stops_a_replay_and_is_named(deployed: Deployed, tmp_path: Path) -> None:
    """The row stays, its reasons too."""
    row_id = deployed.park("1")
    (tmp_path / "outgrow.toml").write_text("schema_version = 1\nnonsense = true\n")

    stopped = deployed.bridge("rejected", "replay", row_id, "--config-dir", str(tmp_path))

    assert stopped.exit_code == 1
    assert "nonsense" in stopped.stderr
    assert deployed.rows() == [row_id]


def test_a_replay_of_a_reason_is_bounded(deployed: Deployed, corrected: str) -> None:
    """It says that there may be more, and goes on when called again."""
    for number in range(3):
        deployed.park(str(number))
    deployed.park("other", "braze_refused")
    options = ["rejected", "replay", "--reason", "no_identity", "--config-dir", corrected]

    first = json.loads(deployed.bridge(*options, "--limit", "2", "--json").stdout)
    assert (first["counts"], first["may_be_more"]) == ({"sent": 2}, True)
    second = json.loads(deployed.bridge(*options, "--limit", "2", "--json").stdout)

    assert (second["counts"], second["may_be_more"]) == ({"sent": 1}, False)
    assert deployed.rows() == ["outgrow#body:other"]


def test_rows_are_dropped_only_after_a_confirmation(deployed: Deployed) -> None:
    """A no, or no answer, keeps them; a yes removes all of a reason, and no others."""
    deployed.park("1")
    deployed.park("2")
    deployed.park("3", "braze_refused")
    words = ["rejected", "drop", "--reason", "no_identity"]

    assert deployed.bridge(*words, answer="n\n").exit_code == 1
    assert deployed.bridge(*words, answer="").exit_code == 1
    assert len(deployed.rows()) == 3
    asked = deployed.bridge(*words, answer="y\n")
    assert (asked.exit_code, deployed.rows()) == (0, ["outgrow#body:3"])
    by_id = deployed.bridge(
        "rejected", "drop", "outgrow#body:3", "outgrow#body:none", "--yes", "--json"
    )
    assert (by_id.exit_code, deployed.rows()) == (1, [])
    assert json.loads(by_id.stdout) == {
        "dropped": 1,
        "not_found": ["outgrow#body:none"],
        "may_be_more": False,
    }


def test_dead_letters_are_listed_without_answers_and_shown_with_them(deployed: Deployed) -> None:
    """They stay where they are."""
    deployed.bury(job("1", ADDRESS).to_json())
    deployed.bury(json.dumps({ADDRESS: 1}))

    text, data = deployed.bridge("dlq", "list"), deployed.bridge("dlq", "list", "--json")
    messages = json.loads(data.stdout)["messages"]
    shown = [
        deployed.bridge("dlq", "show", message["message_id"], *options)
        for message in messages
        for options in ((), ("--json",))
    ]

    assert ADDRESS not in text.output + data.output
    assert {message["job_id"] for message in messages} == {"outgrow:default:1", None}
    assert [result.exit_code for result in shown] == [0] * 4
    assert all(ADDRESS in result.stdout for result in shown)
    assert deployed.bridge("dlq", "show", "none").exit_code == 1
    assert len(deployed.dead()) == 2


def test_dead_letters_go_back_to_the_delivery_queue(deployed: Deployed) -> None:
    """Each once; an empty queue is no failure."""
    deployed.bury(job("1", ADDRESS).to_json())
    deployed.bury(job("2", ADDRESS).to_json())

    first = deployed.bridge("dlq", "replay", "--json")
    second = deployed.bridge("dlq", "replay")

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert json.loads(first.stdout) == {
        "sent": 2,
        "sent_and_kept": 0,
        "not_taken": 0,
        "is_empty": True,
    }
    assert len(deployed.queued()) == 2
    assert deployed.dead() == []
    assert ADDRESS not in first.output + second.output


@pytest.mark.parametrize(
    "words", [["rejected", "list"], ["rejected", "count"], ["dlq", "list"], ["dlq", "replay"]]
)
def test_without_a_stack_s_name_the_local_one_is_meant(tmp_path: Path, words: list[str]) -> None:
    """If none runs, it is exit 3, with a message."""
    down = CliRunner().invoke(app, [*words, "--dir", str(tmp_path)])

    assert (down.exit_code, down.stdout) == (3, "")
    assert "make up" in down.stderr


def test_a_deployed_stack_is_found_by_its_outputs() -> None:
    """As CloudFormation describes them; a missing stack is named with AWS's error code."""
    client = boto3.client(
        "cloudformation",
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    stack = {
        "StackName": STACK,
        "CreationTime": NOON,
        "StackStatus": "CREATE_COMPLETE",
        "Outputs": [{"OutputKey": "DeliveryQueueUrl", "OutputValue": "https://queue"}],
    }
    with Stubber(client) as stubber:
        stubber.add_response("describe_stacks", {"Stacks": [stack]}, {"StackName": STACK})
        stubber.add_client_error("describe_stacks", "ValidationError")

        assert outputs_of(client, STACK) == {"DeliveryQueueUrl": "https://queue"}
        with pytest.raises(StackUnavailableError, match=f"{STACK}: ValidationError"):
            outputs_of(client, STACK)
