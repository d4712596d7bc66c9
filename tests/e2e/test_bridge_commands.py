"""The `bridge` command as people run it: correct settings, and usual mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from typer.testing import CliRunner

from ops.bridge import app
from sandbox.server import Sandbox, running
from sandbox.stack.environments import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typer.testing import Result

    from sandbox.stack.stack_file import StackFile

CALL_SECONDS = 30
SHIPPED = ROOT / "layers" / "partner_config"

Finding = dict[str, str]


class Bridge:
    """The command on the local stack of the session, its answer as JSON."""

    def __init__(self, stack: StackFile) -> None:
        self._folder = str(Path(stack.logs).parent)

    def __call__(self, *words: str, exit_code: int = 0, answer: str | None = None) -> Any:
        result = self.run(*words, "--json", answer=answer)
        assert result.exit_code == exit_code, result.output
        return json.loads(result.stdout) if result.stdout else None

    def run(self, *words: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(app, [*words, "--dir", self._folder], input=answer)

    def findings(self, *words: str) -> dict[str, Finding]:
        """What the doctor found, by check. Its exit code says whether something is a problem.

        (Earlier tests may have left something behind.)
        """
        result = self.run("doctor", *words, "--json")
        told = json.loads(result.stdout)
        levels = [each["level"] for each in told["findings"]]
        assert result.exit_code == (1 if "problem" in levels else 0), result.output
        assert told["problems"] == levels.count("problem")
        return {each["check"]: each for each in told["findings"]}


@pytest.fixture
def bridge(stack: StackFile) -> Iterator[Bridge]:
    """The queue is empty before the test; settings are reset after it.

    A late job with a wrong key would close the gate for the next tests.
    """
    control(stack, "reset", {})
    rest(stack)
    yield Bridge(stack)
    control(stack, "reset", {})


def control(stack: StackFile, route: str, body: dict[str, Any]) -> None:
    answer = requests.post(f"{stack.braze_url}/_sandbox/{route}", json=body, timeout=CALL_SECONDS)
    answer.raise_for_status()


def asked_of(stack: StackFile, what: str) -> list[dict[str, Any]]:
    answer = requests.get(f"{stack.braze_url}/_sandbox/{what}", timeout=CALL_SECONDS)
    found: list[dict[str, Any]] = answer.json()
    return found


def post(stack: StackFile, body: dict[str, Any], token: str, content: str = "bridge") -> int:
    return requests.post(
        f"{stack.api_url}/outgrow/{content}",
        json=body,
        headers={"Authorization": f"Bearer {token}"},
        timeout=CALL_SECONDS,
    ).status_code


def wait_for(check: Callable[[], bool], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return True
        time.sleep(0.2)
    return False


def rest(stack: StackFile) -> None:
    """Wait until the delivery queue is empty, nothing in flight."""
    sqs = stack.session().client("sqs", **stack.client_options())

    def is_empty() -> bool:
        counts = sqs.get_queue_attributes(
            QueueUrl=stack.queues["delivery"],
            AttributeNames=[
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesNotVisible",
            ],
        )["Attributes"]
        return all(count == "0" for count in counts.values())

    assert wait_for(is_empty, 60)


# -- doctor ------------------------------------------------------------------------------------


def test_the_doctor_finds_no_problem_in_a_working_stack_and_changes_nothing(
    stack: StackFile, bridge: Bridge
) -> None:
    """Endpoint, key, every permission, token, gate, queue, alarms, configuration."""
    found = bridge.findings()

    for check in (
        "endpoint",
        "key",
        "token of Outgrow",
        "token of Quikly",
        "token of Braze's webhook campaigns",
        "key of Quikly's API",
        "gate",
        "queue",
        "acquisition queue",
        "forward queue",
        "alarms",
        "configuration",
    ):
        assert found[check]["level"] == "ok", found[check]
    permissions = [each for name, each in found.items() if name.startswith("permission ")]
    assert len(permissions) == 5
    assert {each["level"] for each in permissions} == {"ok"}
    assert asked_of(stack, "profiles") == []


def test_a_wrong_key_is_distinguished_from_a_missing_permission(
    stack: StackFile, bridge: Bridge
) -> None:
    """401 everywhere: one finding, about the key, which says how to find the right instance."""
    control(stack, "settings", {"keys": {"another-key": ["*"]}})

    found = bridge.findings()

    assert found["key"]["level"] == "problem"
    assert "not valid" in found["key"]["what"]
    for words in ("secrets set braze", "--find-instance"):
        assert words in found["key"]["do"]
    assert not [name for name in found if name.startswith("permission ")]
    assert stack.braze_api_key not in json.dumps(found)


def test_a_missing_permission_is_named_with_who_needs_it(stack: StackFile, bridge: Bridge) -> None:
    """A key for Outgrow only: enough for Outgrow, and Quikly's three permissions are missing."""
    control(stack, "settings", {"keys": {stack.braze_api_key: ["users.track"]}})

    found = bridge.findings()

    assert found["key"]["level"] == found["permission users.track"]["level"] == "ok"
    for permission in ("users.export.ids", "subscription.status.get", "subscription.status.set"):
        assert found[f"permission {permission}"]["level"] == "problem"
        assert (
            "quikly-acquisition does not work without it"
            in found[f"permission {permission}"]["what"]
        )
    assert found["permission kpi.mau.data_series"]["level"] == "warning"
    for_others = bridge.findings("--for", "outgrow", "--for", "quikly-webhook").values()
    assert "problem" not in {
        each["level"] for each in for_others if each["check"].startswith("permission ")
    }


def test_a_wrong_region_is_found_by_asking_the_right_one(stack: StackFile, bridge: Bridge) -> None:
    """The stack's Braze does not know the key, another one does."""
    control(stack, "settings", {"keys": {"other-key": ["*"]}})
    with running(Sandbox(key=stack.braze_api_key)) as url:
        here = bridge.findings()
        there = bridge.findings("--instance", url)

    assert here["key"]["level"] == "problem"
    assert there["key"]["level"] == "ok"
    assert url in there["endpoint"]["what"]


def test_an_endpoint_that_is_none_of_braze_s_gets_no_key(bridge: Bridge) -> None:
    """It is refused before the key is sent."""
    found = bridge.findings("--instance", "https://rest.example.com")

    assert found["endpoint"]["level"] == "problem"
    assert "key" not in found
    assert found["endpoint"]["do"]


# -- configuration -----------------------------------------------------------------------------


def test_a_broken_key_in_a_file_is_named_with_a_suggestion(tmp_path: Path) -> None:
    """The real command in its own process: only JSON on stdout, exit code 1."""
    for file in SHIPPED.glob("*.toml"):
        text = file.read_text()
        if file.name == "outgrow.toml":
            assert "\n[default.attributes]\n" in text
            text = text.replace("\n[default.attributes]\n", "\n[default.atributes]\n")
        (tmp_path / file.name).write_text(text)

    done = subprocess.run(  # noqa: S603 - our own command
        [
            *(sys.executable, "-m", "ops.bridge", "check-config"),
            *("--config-dir", str(tmp_path), "--json"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr == ""
    problems = json.loads(done.stdout)["problems"]
    assert ("outgrow.toml", "default.atributes") in [
        (each["file"], each["key"]) for each in problems
    ]
    assert "did you mean attributes?" in json.dumps(problems)


def test_names_are_not_cut_without_a_terminal() -> None:
    """Through a pipe, with 40 columns set, a long id is one word."""
    done = subprocess.run(  # noqa: S603 - our own command
        [
            *(sys.executable, "-m", "ops.bridge", "preview", "outgrow"),
            *("--sample", "quiz_flat"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={"COLUMNS": "40", "PATH": "", "PYTHONUTF8": "1"},
    )

    assert "as job outgrow:6512bd43d9caa6e02c990b0a:r-20001" in done.stdout


# -- preview and verify ------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["quiz", "demo"])
def test_what_preview_shows_is_what_arrives(
    stack: StackFile, bridge: Bridge, tmp_path: Path, content: str
) -> None:
    """The profile has exactly the attributes and events of the previewed request."""
    address = f"previewed-{uuid.uuid4().hex}@example.com"
    body = {"id": uuid.uuid4().hex, "email": address, "score": "61", "segment": "Seen before"}
    captured = tmp_path / "captured.json"
    captured.write_text(json.dumps(body))
    shown = bridge_preview(str(captured), "--content", content)
    (request,) = shown["requests"]
    (attributes,) = request["body"]["attributes"]

    assert post(stack, body, stack.tokens["outgrow"], content) == HTTPStatus.OK

    def found() -> list[dict[str, Any]]:
        return [each for each in asked_of(stack, "profiles") if each.get("email") == address]

    assert wait_for(lambda: bool(found()))
    (profile,) = found()
    assert {"email": address, **profile["custom_attributes"]} == attributes
    assert [each["name"] for each in profile["events"]] == [
        each["name"] for each in request["body"].get("events", [])
    ]


def bridge_preview(*words: str, exit_code: int = 0) -> Any:
    """`bridge preview` needs no stack."""
    result = CliRunner().invoke(app, ["preview", "outgrow", *words, "--json"])
    assert result.exit_code == exit_code, result.output
    return json.loads(result.stdout)


def test_preview_shows_a_changed_mapping_before_it_is_deployed(tmp_path: Path) -> None:
    """One more attribute in the file is one more in the request."""
    text = (SHIPPED / "outgrow.toml").read_text()
    changed = text.replace(
        "\n[default.attributes]\n",
        '\n[default.attributes]\noutgrow_city = { from = ["city"], type = "string" }\n',
    )
    (tmp_path / "outgrow.toml").write_text(changed)
    body = tmp_path / "body.json"
    body.write_text(json.dumps({"id": 1, "email": "a@example.com", "score": 1, "city": "Lyon"}))

    before = bridge_preview(str(body))
    after = bridge_preview(str(body), "--config-dir", str(tmp_path))

    assert "outgrow_city" not in json.dumps(before)
    (attributes,) = after["requests"][0]["body"]["attributes"]
    assert attributes["outgrow_city"] == "Lyon"


def test_a_test_survey_arrives_under_its_prompt(bridge: Bridge) -> None:
    """Iterate's route, the same profile."""
    told = bridge("verify", "iterate")

    assert told["arrived"] is True
    (answer,) = told["attributes"]
    assert answer["said"] == f"bridge verify arrived as string {answer['found']}"


def test_a_test_event_of_quikly_arrives_and_no_person_is_signed_up(
    stack: StackFile, bridge: Bridge
) -> None:
    """Its attributes differ in each run; of acquisitions, only the API's answer is checked."""
    told = bridge("verify", "quikly")

    assert told["arrived"] is True
    assert len(told["asked"]) == 1
    arrived = {each["name"]: each["found"] for each in told["attributes"]}
    assert arrived["quikly_reached_tier"].startswith("verify ")
    assert len(asked_of(stack, "profiles")) == 1


def test_the_webhook_is_tried_without_a_claim(stack: StackFile, bridge: Bridge) -> None:
    """The route and the token of a campaign; Braze gets no request."""
    shown = bridge("secrets", "show-url", "braze-webhook")
    assert shown["urls"][0]["url"] == f"{stack.api_url}/quikly/webhook"

    assert len(bridge("verify", "braze-webhook")["asked"]) == 1
    assert asked_of(stack, "requests?since=0") == []


def test_a_test_response_arrives_with_its_types(bridge: Bridge) -> None:
    """Twice in a row, and the second time with another score."""
    first = bridge("verify", "outgrow")
    second = bridge("verify", "outgrow")

    for told in (first, second):
        assert told["arrived"] is True
        assert told["profile"] == {"kind": "external_id", "value": ["bridge-verify"]}
        (score,) = [each for each in told["attributes"] if each["name"] == "outgrow_quiz_score"]
        assert score["said"] == f"outgrow_quiz_score arrived as number {score['found']}"
    scores = [told["attributes"][0]["found"] for told in (first, second)]
    assert scores[0] != scores[1]


def test_verify_posts_nothing_that_it_could_not_read_back(stack: StackFile, bridge: Bridge) -> None:
    """A key without users.export.ids: an error at once, and nothing was posted."""
    control(stack, "settings", {"keys": {stack.braze_api_key: ["users.track"]}})

    result = bridge.run("verify", "outgrow")

    assert result.exit_code == 1
    assert "lacks users.export.ids" in result.stderr
    assert [each["path"] for each in asked_of(stack, "requests?since=0")] == ["/users/export/ids"]


# -- secrets and forgetting --------------------------------------------------------------------


def test_a_rotated_token_works_at_once_and_the_old_one_still_does(
    stack: StackFile, bridge: Bridge
) -> None:
    """Until it is retired; a second rotation asks before it ends the first one."""
    keeper = stack.session().client("secretsmanager", **stack.client_options())
    before = keeper.get_secret_value(SecretId=stack.secrets["outgrow"])["SecretString"]
    body = {"external_id": "rotation", "score": 1}
    try:
        token = bridge("secrets", "rotate", "outgrow", "--show-token")["token"]
        assert token != stack.tokens["outgrow"]
        assert post(stack, body | {"id": "new"}, token) == HTTPStatus.OK
        assert post(stack, body | {"id": "old"}, stack.tokens["outgrow"]) == HTTPStatus.OK

        hidden = bridge("secrets", "show-url", "outgrow")
        assert token not in json.dumps(hidden)
        shown = bridge("secrets", "show-url", "outgrow", "--show-token")
        assert shown["header"] == {"name": "Authorization", "value": f"Bearer {token}"}
        assert shown["urls"][0]["url"] == f"{stack.api_url}/outgrow"

        assert bridge.run("secrets", "rotate", "outgrow", answer="n\n").exit_code == 1
        assert bridge("secrets", "show-url", "outgrow", "--show-token") == shown
        assert bridge("secrets", "retire", "outgrow")["retired"] is True
        assert bridge("secrets", "retire", "outgrow")["retired"] is False
        assert bridge.findings()["token of Outgrow"] == {
            "level": "ok",
            "check": "token of Outgrow",
            "what": "set",
            "do": "",
        }
    finally:
        keeper.put_secret_value(SecretId=stack.secrets["outgrow"], SecretString=before)


def test_a_forgotten_person_is_in_none_of_our_tables(stack: StackFile, bridge: Bridge) -> None:
    """The parked body and the ledger's item are erased; Braze and the queues are named."""
    address = f"forgotten-{uuid.uuid4().hex}@example.com"
    token = stack.tokens["outgrow"]
    response = {"id": f"f-{uuid.uuid4().hex}", "email": address, "score": 3}
    assert post(stack, response, token) == HTTPStatus.OK
    parked = {"id": "f-2", "contact": {"mail": address.upper()}, "score": 3}
    assert post(stack, parked, token) == HTTPStatus.UNPROCESSABLE_ENTITY
    assert wait_for(lambda: address in json.dumps(asked_of(stack, "profiles")))
    signed_up = sign_up(stack, address)
    assert wait_for(lambda: bridge_state(bridge, signed_up) == "credited")
    assert claim(stack, address) == "awarded"
    rest(stack)

    would = bridge("forget", "email", address, "--dry-run")
    counts = {name: len(ids) for name, ids in would["held"].items()}
    # Two of acquisitions: the record, and the Braze profile that was found.
    assert counts == {"rejected table": 1, "ledger": 1, "acquisitions": 2, "claims": 1}
    (shown,) = bridge("acquisition", "show", answer=f"{address}\n")["acquisitions"]
    assert shown["acquisition_id"] == signed_up
    assert bridge("forget", "email", address.upper(), "--yes")["erased"] == counts
    assert bridge.run("acquisition", "show", signed_up).exit_code == 1

    after = bridge("forget", "email", answer=f"{address}\n")
    assert not any(after["held"].values())
    assert "/users/delete" in json.dumps(after["not_reached"])
    table = stack.session().client("dynamodb", **stack.client_options())
    for name in stack.tables.values():
        rows = table.scan(TableName=name)["Items"]
        assert address not in json.dumps(rows, default=str).lower()
    assert claim(stack, address) == "awarded", "the same award, once"


def sign_up(stack: StackFile, address: str) -> str:
    consent = {"given_at": "2026-11-01T10:00:00Z", "method": "checkbox", "text": "v1"}
    body = {"q_scope": "demo-email", "channel": "email", "email": address, "consent": consent}
    answer = requests.post(
        f"{stack.api_url}/quikly/acquisitions",
        json=body,
        headers={"Authorization": f"Bearer {stack.tokens['quikly']}"},
        timeout=CALL_SECONDS,
    )
    assert answer.status_code == HTTPStatus.ACCEPTED
    return str(answer.json()["acquisition_id"])


def bridge_state(bridge: Bridge, acquisition_id: str) -> str:
    (found,) = bridge("acquisition", "show", acquisition_id)["acquisitions"]
    return str(found["state"])


def claim(stack: StackFile, address: str) -> str:
    answer = requests.post(
        f"{stack.api_url}/quikly/webhook",
        json={"q_scope": "demo-speed", "event": "demo-action", "email": address},
        headers={"Authorization": f"Bearer {stack.tokens['braze_webhook']}"},
        timeout=CALL_SECONDS,
    )
    return str(answer.json()["status"])
