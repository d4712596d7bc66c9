"""No message is processed twice at once, deleted unprocessed, or kept too short a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.infra.template import Template, default_template

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUTS = default_template().source["Parameters"]["DeliveryTimeout"]["AllowedValues"]
SOURCES = {
    "DeliveryQueue": "DeliveryDeadLetterQueue",
    "AcquisitionQueue": "AcquisitionDeadLetterQueue",
    "ForwardQueue": "ForwardDeadLetterQueue",
}
"""Each queue that is read, and where its hopeless messages go."""

BRAZE_OBJECTS = 75
"""Braze: objects in one /users/track request."""


def mappings(template: Template) -> Iterator[tuple[dict[str, Any], str, dict[str, Any]]]:
    """Each event source mapping on a queue: it, the queue, and the function's properties."""
    for mapping in template.of_type("AWS::Lambda::EventSourceMapping").values():
        queue = mapping["Properties"]["EventSourceArn"]["Fn::GetAtt"][0]
        alias = mapping["Properties"]["FunctionName"]["Ref"]
        function = template.plain["Resources"][alias]["Properties"]["FunctionName"]["Ref"]
        yield template.resolve(mapping["Properties"]), queue, template.properties(function)


@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_a_message_stays_hidden_while_its_batch_is_being_tried(timeout: str) -> None:
    """Visibility is at least six timeouts and the longest window, whatever timeout is chosen."""
    template = Template(DeliveryTimeout=timeout)
    longest_window = template.source["Parameters"]["DeliveryBatchWindow"]["MaxValue"]

    checked = 0
    for _, queue, function in mappings(template):
        visibility = int(template.properties(queue)["VisibilityTimeout"])
        if queue == "ForwardQueue":  # it has no window, and a timeout of its own
            assert visibility >= 6 * int(function["Timeout"])
        else:
            assert int(function["Timeout"]) == int(timeout)
            assert visibility >= 6 * int(timeout) + longest_window
        checked += 1
    assert checked == 3


def test_every_queue_that_is_read_has_a_dead_letter_queue_that_keeps_longer(
    template: Template,
) -> None:
    """A message keeps its age when it moves, so the second queue must outlast the first."""
    for _, queue, _ in mappings(template):
        properties = template.properties(queue)
        dead = properties["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
        kept = int(template.properties(dead)["MessageRetentionPeriod"])

        assert kept == 14 * 24 * 3600
        assert int(properties["MessageRetentionPeriod"]) <= kept / 2
        # A closed gate costs receives; 1000 is the most SQS takes.
        assert 100 <= properties["RedrivePolicy"]["maxReceiveCount"] <= 1000


def test_what_a_function_gives_back_is_not_deleted(template: Template) -> None:
    """Without ReportBatchItemFailures Lambda deletes the failed ones with the others."""
    for mapping, _, _ in mappings(template):
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_batches_fill_braze_s_requests(template: Template) -> None:
    """Each offered batch size is a multiple of 75, and Lambda accepts it."""
    parameters = template.source["Parameters"]
    sizes = parameters["DeliveryBatchSize"]["AllowedValues"]

    assert sizes == sorted(set(sizes))
    assert [size for size in sizes if size % BRAZE_OBJECTS] == []
    assert (min(sizes), max(sizes)) == (BRAZE_OBJECTS, 9_975)
    assert parameters["DeliveryBatchSize"]["Default"] in sizes
    # Lambda wants a window with more than ten messages.
    assert parameters["DeliveryBatchWindow"]["MinValue"] >= 1


def test_the_concurrency_of_delivery_is_limited(template: Template) -> None:
    """Ten by default; the local engine gets a literal, since it cannot count with a parameter."""
    scaling = {queue: mapping["ScalingConfig"] for mapping, queue, _ in mappings(template)}
    local = {
        queue: mapping["ScalingConfig"]
        for mapping, queue, _ in mappings(Template(AllowLoopbackBraze="true"))
    }

    assert scaling["DeliveryQueue"] == {"MaximumConcurrency": "10"}
    assert local["DeliveryQueue"] == {"MaximumConcurrency": 2}
    assert scaling["AcquisitionQueue"] == local["AcquisitionQueue"] == {"MaximumConcurrency": 2}
    assert scaling["ForwardQueue"] == {"MaximumConcurrency": "10"}
    assert local["ForwardQueue"] == {"MaximumConcurrency": 2}


def test_the_acquisition_worker_knows_how_many_it_is(template: Template) -> None:
    """Each takes its share of Braze's limits, so the figure must be the event source's own."""
    variables = template.properties("QuiklyAcquisitionWorkerFunction")["Environment"]["Variables"]
    [mapping] = [found for found, queue, _ in mappings(template) if queue == "AcquisitionQueue"]

    assert int(variables["ACQUISITION_LAMBDAS"]) == mapping["ScalingConfig"]["MaximumConcurrency"]
    assert mapping["BatchSize"] == BRAZE_OBJECTS
    # Lambda wants a window with more than ten messages.
    assert mapping["MaximumBatchingWindowInSeconds"] >= 1


def test_who_tells_quikly_knows_its_queue_and_its_own_time(template: Template) -> None:
    """Calls near the end of their retention are parked; a lease outlives the function."""
    function = template.properties("QuiklyForwardFunction")
    variables = function["Environment"]["Variables"]
    retention = template.properties("ForwardQueue")["MessageRetentionPeriod"]

    assert variables["QUEUE_RETENTION_SECONDS"] == retention
    assert variables["FUNCTION_TIMEOUT_SECONDS"] == str(function["Timeout"])


def test_queues_are_encrypted(template: Template) -> None:
    """Jobs hold what people answered."""
    queues = template.of_type("AWS::SQS::Queue")

    assert queues.keys() == {*SOURCES, *SOURCES.values(), "SweepDeadLetterQueue"}
    assert all(queue["Properties"]["SqsManagedSseEnabled"] is True for queue in queues.values())


@pytest.mark.parametrize(("source", "dead"), SOURCES.items())
def test_a_dead_letter_queue_takes_only_its_own_queue_s_messages(
    template: Template, source: str, dead: str
) -> None:
    """By the queue's name: a reference in both directions would be a circle."""
    name = template.properties(source)["QueueName"]
    allowed = template.properties(dead)["RedriveAllowPolicy"]

    assert allowed["redrivePermission"] == "byQueue"
    assert [arn.rpartition(":")[2] for arn in allowed["sourceQueueArns"]] == [name]
    assert allowed["sourceQueueArns"][0].startswith("arn:${AWS::Partition}:sqs:${AWS::Region}:")


def test_every_queue_takes_only_calls_by_tls(template: Template) -> None:
    """In AWS; the local engine has no HTTPS."""
    policy = template.properties("QueuesOnlyByTls")
    [statement] = policy["PolicyDocument"]["Statement"]

    assert {queue["Ref"] for queue in policy["Queues"]} == {*template.of_type("AWS::SQS::Queue")}
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert Template(AllowLoopbackBraze="true").of_type("AWS::SQS::QueuePolicy") == {}


def test_delivery_knows_how_long_its_queue_keeps(template: Template) -> None:
    """It parks jobs that near the end, so the figure must be the queue's own."""
    variables = template.properties("BrazeDeliveryFunction")["Environment"]["Variables"]
    queue = template.properties("DeliveryQueue")

    assert variables["QUEUE_RETENTION_SECONDS"] == queue["MessageRetentionPeriod"]
