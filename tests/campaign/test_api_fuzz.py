"""Fuzzes the API of a local stack: calls that its document allows or forbids, and hostile ones.

The stack is this file's own, since people win every award. Other tests then read its tables.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
import requests

from braze_bridge.mapping.outcomes import Unmappable
from ops.preview.body_mappings import BodyMappings
from ops.rejected.rows import parked_of
from ops.stack.config_directory import CONFIG_DIRECTORY
from sandbox.stack import lifecycle
from tests.api_document import WORDS, ApiDocument
from tests.hostile_calls import HostileCall, hostile_calls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.stack.stack_file import StackFile

CASES: Final = 5_000
EXAMPLES: Final = 600
"""Drawn for each operation; those that are the same are sent once."""

HOSTILE: Final = 2_000
AT_ONCE: Final = 4
CALL_SECONDS: Final = 30
SECONDS: Final = 900

CHECKS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
)
TOKENS: Final = {"/outgrow": "outgrow", "/iterate": "iterate", "/quikly/webhook": "braze_webhook"}


class Fuzzed(NamedTuple):
    """One run of the fuzzer: whether it found nothing, its output, and answers by status."""

    passed: bool
    said: str
    statuses: Counter[int]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackFile]:
    with lifecycle.local_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture
def document() -> ApiDocument:
    return ApiDocument.read().with_words(WORDS)


def fuzz(
    stack: StackFile, document: ApiDocument, operation: str, folder: Path, examples: int
) -> Fuzzed:
    """Run the fuzzer on one operation, on one thread."""
    folder.mkdir()
    (folder / "openapi.json").write_text(json.dumps(document.content), encoding="utf-8")
    (folder / "schemathesis.toml").write_text(
        "".join(
            f'[auth.openapi.{caller}]\nbearer = "{token}"\n'
            for caller, token in stack.tokens.items()
        ),
        encoding="utf-8",
    )
    done = subprocess.run(  # noqa: S603 -- literal arguments
        [
            str(Path(sys.executable).with_name("schemathesis")),
            "--config-file=schemathesis.toml",
            "run",
            "openapi.json",
            f"--url={stack.api_url}",
            f"--include-operation-id={operation}",
            f"--checks={','.join(CHECKS)}",
            "--mode=all",
            "--phases=examples,coverage,fuzzing",
            f"--max-examples={examples}",
            "--generation-unique-inputs",
            "--generation-database=none",
            "--continue-on-failure",
            f"--request-timeout={CALL_SECONDS}",
            "--report=ndjson",
            "--report-ndjson-path=report.ndjson",
            "--seed=1",
            "--workers=1",
            "--no-color",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    statuses: Counter[int] = Counter()
    for line in (folder / "report.ndjson").read_text(encoding="utf-8").splitlines():
        recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
        for interaction in recorder.get("interactions", {}).values():
            # Without an answer the fuzzer fails by itself.
            statuses[(interaction["response"] or {"status_code": 0})["status_code"]] += 1
    return Fuzzed(done.returncode == 0, done.stdout[-5_000:] + done.stderr[-1_000:], statuses)


def post(stack: StackFile, call: HostileCall) -> requests.Response:
    caller = TOKENS.get("/" + call.resource.split("/")[1], TOKENS.get(call.resource, "quikly"))
    request = requests.Request("POST", stack.api_url + call.path, data=call.body).prepare()
    for name, value in call.headers(stack.tokens[caller]).items():
        # As bytes, since a header may hold any: text is encoded strictly.
        request.headers[name] = value.encode()  # type: ignore[assignment]  # bytes are sent as is
    with requests.Session() as session:
        return session.send(request, timeout=CALL_SECONDS)


def is_drained(stack: StackFile) -> bool:
    """Whether the delivery queue is empty."""
    sqs = stack.session().client("sqs", **stack.client_options())
    found = sqs.get_queue_attributes(
        QueueUrl=stack.queues["delivery"],
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )
    return set(found["Attributes"].values()) == {"0"}


def waiting(stack: StackFile, queue: str) -> int:
    sqs = stack.session().client("sqs", **stack.client_options())
    name: Any = "ApproximateNumberOfMessages"
    found = sqs.get_queue_attributes(QueueUrl=stack.queues[queue], AttributeNames=[name])
    return int(found["Attributes"][name])


@pytest.mark.timeout(SECONDS)
def test_no_5xx_in_5000_cases(stack: StackFile, document: ApiDocument, tmp_path: Path) -> None:
    """Every answer fits the document."""
    operations = [
        operation["operationId"]
        for item in document.content["paths"].values()
        for operation in item.values()
    ]
    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        runs = list(
            pool.map(
                lambda name: fuzz(stack, document, name, tmp_path / name, EXAMPLES), operations
            )
        )
    fuzzed = sum((run.statuses for run in runs), Counter[int]())
    by_schema = time.monotonic() - began

    assert [run.said for run in runs if not run.passed] == []

    calls = list(hostile_calls(seed=3, number=HOSTILE))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda call: post(stack, call), calls))
    hostile = Counter(answer.status_code for answer in answers)
    wrong = [
        (call.kind, call.resource, call.path_parameters, problems)
        for call, answer in zip(calls, answers, strict=True)
        if (
            problems := document.answer_problems(
                call.resource, answer.status_code, answer.headers, answer.content
            )
        )
    ]
    print(  # noqa: T201 - figures for the note
        f"{fuzzed.total()} by schema in {by_schema:.0f} s: {sorted(fuzzed.items())}; "
        f"{hostile.total()} hostile in {time.monotonic() - began - by_schema:.0f} s: "
        f"{sorted(hostile.items())}"
    )

    assert wrong == []
    assert fuzzed.total() + hostile.total() >= CASES
    assert max(fuzzed | hostile) < 500
    assert fuzzed.keys() | hostile.keys() >= {200, 202, 400, 401, 404, 413, 415, 422}


@pytest.mark.timeout(SECONDS)
def test_what_was_kept_is_kept_for_a_reason(stack: StackFile) -> None:
    """After all that: each parked body is still refused for what its row says, and no message
    that a function wrote was one that another could not read.
    """  # noqa: D205 - one sentence
    with ThreadPoolExecutor(AT_ONCE) as pool:  # in case this test runs without the one before
        list(pool.map(lambda call: post(stack, call), hostile_calls(seed=4, number=60)))
    end = time.monotonic() + 120
    while not is_drained(stack) and time.monotonic() < end:
        time.sleep(1)
    mappings = BodyMappings(CONFIG_DIRECTORY)
    dynamodb = stack.session().client("dynamodb", **stack.client_options())
    pages = dynamodb.get_paginator("scan").paginate(TableName=stack.tables["rejected"])
    records = [parked_of(item).record for page in pages for item in page["Items"]]

    assert is_drained(stack)
    assert {name: waiting(stack, name) for name in stack.queues if "dead" in name} == {
        "delivery_dead_letter": 0,
        "acquisition_dead_letter": 0,
        "forward_dead_letter": 0,
    }
    assert records
    assert [record.reasons for record in records if record.kind != "body"] == []
    for record in records:
        outcome = mappings.outcome(record)
        assert isinstance(outcome, Unmappable)
        assert outcome.reasons == record.reasons


@pytest.mark.timeout(SECONDS)
def test_fuzzer_sees_an_answer_that_is_not_documented(
    stack: StackFile, document: ApiDocument, tmp_path: Path
) -> None:
    """A negative control: a document by which a job's id is a number."""
    accepted = document.content["components"]["schemas"]["Accepted"]
    accepted["properties"]["job_id"] = {"type": "integer"}

    run = fuzz(stack, document, "takeIterateResponse", tmp_path / "run", examples=5)

    assert not run.passed
    assert "schema" in run.said
