"""What causes each alarm: our functions on fakes, or figures as AWS writes them."""

from __future__ import annotations

import contextlib
import io
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aws_lambda_powertools import Metrics

from braze_bridge.braze.errors import AuthenticationError, ObjectError
from braze_bridge.braze.models import TrackResponse
from braze_bridge.handlers import HandlerFailedError, answer_batch, background_handler
from braze_bridge.ledger.new_names import NamesRow, NewNames
from braze_bridge.mapping.names import NEW_A_DAY
from braze_bridge.observability import EmfMeter
from braze_bridge.quikly import QuiklyError
from braze_bridge.web.edge import lambda_handler_of
from braze_delivery.app import handle
from braze_delivery.senders import Senders
from quikly_forward.app import report as report_forwards
from tests.fakes.acquisitions import RULES, Simulation, record
from tests.fakes.api_event import proxy_event
from tests.fakes.claims import Webhook
from tests.fakes.delivery_jobs import job
from tests.fakes.forwarding import forward_message
from tests.fakes.iterate import IterateBench, answer
from tests.fakes.iterate import body as survey
from tests.fakes.ledger import NoLedger
from tests.fakes.log import RecordingLog
from tests.fakes.meter import RecordingMeter
from tests.fakes.new_names import InMemoryNames
from tests.fakes.outgrow import OutgrowBench
from tests.fakes.quikly_events import QuiklyEventsBench
from tests.functional.alarms.evaluation import Figure, dimensions_of, figures_in, filtered
from tests.functional.braze_delivery.test_app import Harness, sqs_event
from tests.functional.quikly_acquisition.test_api_on_fakes import CASES as ACQUISITIONS
from tests.functional.quikly_acquisition.test_api_on_fakes import ApiBench
from tests.functional.quikly_acquisition.test_worker import Context, event
from tests.functional.quikly_acquisition.test_worker import handle as run_worker
from tests.infra.template import NAMESPACE, Template, default_template
from tests.unit.quikly_forward.test_forwarding import ForwardBench

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from braze_bridge.web.edge import LambdaHandler

TEMPLATE: Final[Template] = default_template()
REFUSED_KEY: Final = AuthenticationError("no", status=401)
TOO_LARGE: Final = json.dumps({"pad": "x" * 300_000})
SOON: Final = 10.0
"""Seconds after the begin: in the first period of each alarm."""


class Cause(NamedTuple):
    """What causes an alarm.

    Attributes:
        what: In words, for the table of docs/operations.md.
        ours: Whether our code wrote the figures, or they are as AWS writes them.
        figures: Does it.
    """

    what: str
    ours: bool
    figures: Callable[[], list[Figure]]


def written(service: str, meter: RecordingMeter, at: float = SOON) -> list[Figure]:
    """Write what a function counted as Lambda's log gets it, and read it as CloudWatch does."""
    metrics = Metrics(namespace=NAMESPACE, service=service)
    real = EmfMeter(metrics)
    with contextlib.redirect_stdout(io.StringIO()) as log:
        for metric, value in meter.figures:
            real.add(metric, value)
        if metrics.metric_set:
            metrics.flush_metrics()
    return figures_in(log.getvalue().splitlines(), at)


def by_aws(
    namespace: str, metric: str, dimensions: Mapping[str, Any], *values: float, at: float = SOON
) -> list[Figure]:
    return [
        Figure(namespace, metric, dimensions_of(dimensions), value, at + number)
        for number, value in enumerate(values)
    ]


# -- delivery ------------------------------------------------------------------------------------


def delivery(act: Callable[[Harness], object], at: float = SOON) -> list[Figure]:
    with ThreadPoolExecutor(4) as executor:
        harness = Harness(executor)
        act(harness)
        return written("braze-delivery", harness.meter, at)


def refuse_the_key(harness: Harness) -> None:
    harness.braze.before = lambda _: REFUSED_KEY
    harness.handle(job().to_json())


def refuse_five_jobs(harness: Harness) -> None:
    harness.braze.named = lambda _: True
    harness.handle(*(job(str(number), f"user-{number}").to_json() for number in range(5)))


def send_as_another_role(harness: Harness) -> None:
    ports = replace(harness.deps.ports, senders=Senders({"AROAITERATE": {"iterate"}}))
    sent = sqs_event(job().to_json())
    sent["Records"][0]["attributes"]["SenderId"] = "AROAITERATE:iterate-responses"
    answer_batch(sent, lambda: 60, handle, replace(harness.deps, ports=ports))


def answer_five_times_unclearly(harness: Harness) -> None:
    unclear = TrackResponse(201, "success", 1, None, (ObjectError(None, None, "odd"),), None)
    ports = replace(harness.deps.ports, track=lambda _, **_options: unclear)
    harness.deps = replace(harness.deps, ports=ports)
    for number in range(5):
        harness.handle(job(str(number)).to_json())


class ForgetfulLedger(NoLedger):
    """A ledger whose table takes no record."""

    def record(self, leases: Any, updates: Any, seconds_left: Any = None) -> frozenset[Any]:
        del leases, seconds_left
        return frozenset(updates)


def forget_ten_people(harness: Harness) -> None:
    harness.deps = replace(
        harness.deps, ports=replace(harness.deps.ports, ledger=ForgetfulLedger())
    )
    harness.handle(*(job(str(number), f"user-{number}").to_json() for number in range(10)))


def deliver_late_jobs() -> list[Figure]:
    def act(harness: Harness) -> None:
        harness.handle(job(age=1_000).to_json())

    return [*delivery(act), *delivery(act, at=310)]


# -- the doors -----------------------------------------------------------------------------------

Doors = dict[str, "Callable[[], tuple[LambdaHandler, RecordingMeter, str]]"]


def _webhook() -> tuple[LambdaHandler, RecordingMeter, str]:
    webhook = Webhook()
    handler = lambda_handler_of(webhook.lambda_, log=lambda: webhook.log.logger, flush=lambda: None)
    return handler, webhook.meter, "/quikly/webhook"


def _acquisitions() -> tuple[LambdaHandler, RecordingMeter, str]:
    bench = ApiBench()
    return bench.handler, bench.meter, "/quikly/acquisitions"


def _ingest(
    bench: OutgrowBench | IterateBench | QuiklyEventsBench, path: str
) -> tuple[LambdaHandler, RecordingMeter, str]:
    return bench.handler, bench.meter, path


DOORS: Final[Doors] = {
    "outgrow-ingest": lambda: _ingest(OutgrowBench(), "/outgrow"),
    "iterate-responses": lambda: _ingest(IterateBench(), "/iterate"),
    "quikly-events": lambda: _ingest(QuiklyEventsBench(), "/quikly/events"),
    "quikly-acquisition-api": _acquisitions,
    "quikly-webhook": _webhook,
}


def posted(service: str, body: str, times: int, **changes: Any) -> list[Figure]:
    handler, meter, path = DOORS[service]()
    for _ in range(times):
        handler(proxy_event(body, path=path, **changes), None)
    return written(service, meter)


def without_token(service: str) -> Cause:
    return Cause(
        "5 calls without a token", True, lambda: posted(service, "{}", times=5, token=None)
    )


def too_large(service: str) -> Cause:
    return Cause("3 bodies over 256 KB", True, lambda: posted(service, TOO_LARGE, times=3))


def parked(service: str) -> Cause:
    body = json.dumps({"q_scope": "unknown", "event": "unknown"})
    return Cause("5 bodies that no rule fits", True, lambda: posted(service, body, times=5))


def name_too_many_at_iterate() -> list[Figure]:
    bench = IterateBench()
    bench.names.row = full_day(bench.clock.now().date().isoformat())
    bench.post(survey(answer(1, "A new question")))
    return written("iterate-responses", bench.meter)


def name_too_many_at_quikly() -> list[Figure]:
    bench = ApiBench()
    names = InMemoryNames()
    names.row = full_day(bench.clock.now().date().isoformat())
    bench.names_over_cap = NewNames(
        lambda: names, NEW_A_DAY, meter=bench.meter, log=bench.log.logger
    )
    case = next(case for case in ACQUISITIONS if case.is_good)
    bench.post(json.loads(case.body) | {"attributes": {"a_new_name": 1}})
    return written("quikly-acquisition-api", bench.meter)


def full_day(day: str) -> NamesRow:
    return NamesRow(frozenset(), day, NEW_A_DAY)


def fail_at_the_door() -> list[Figure]:
    """Answer three calls while the queue is away, and count the 5xx as API Gateway does."""
    bench = OutgrowBench()
    bench.queue.refusing = True
    answers = [bench.post({"email": "ada@example.com", "score": number}) for number in range(3)]
    failed = [1.0 for answer in answers if answer["statusCode"] >= 500]
    stage = {"ApiName": TEMPLATE.properties("BridgeApi")["Name"], "Stage": "live"}
    return by_aws("AWS/ApiGateway", "5XXError", stage, *failed)


def throttle_the_door() -> list[Figure]:
    """Write the access log of 20 throttled calls by the stage's own format."""
    format_ = TEMPLATE.properties("BridgeApiliveStage")["AccessLogSetting"]["Format"]
    line = re.sub(r"\$context\.status\b", "429", format_)
    line = re.sub(r"\$context\.[\w.]+", "-", line)
    return filtered(TEMPLATE.properties("DoorThrottledFilter"), [line] * 20, SOON)


# -- acquisitions --------------------------------------------------------------------------------


def work(act: Callable[[Simulation], object], people: int = 1, *rules: Any) -> list[Figure]:
    sim = (
        Simulation(rules=RULES | {rule.q_scope: rule for rule in rules}) if rules else Simulation()
    )
    scopes = [rule.q_scope for rule in rules]
    for number in range(people):
        email = f"person-{number}@example.com"
        phone = f"+491511234567{number}" if scopes else None
        sim.begin(record(*scopes, number=number, email=email, phone=phone))
    act(sim)
    run_worker(event(*sim.queue.take(10)), Context(), sim.deps)
    return written("quikly-acquisition-worker", sim.meter)


def fail_three_acquisitions() -> list[Figure]:
    lost = RULES["texts"]._replace(q_scope="lost", subscription_group_id="no-group")
    return work(lambda _: None, 3, lost)


def refuse_braze_s_key(sim: Simulation) -> None:
    sim.braze.faults = lambda _: REFUSED_KEY


def refuse_quikly_s_key(sim: Simulation) -> None:
    def refuse(_: int) -> None:
        raise QuiklyError("no", status=401, retryable=True, key_refused=True)

    sim.quikly.faults = refuse


# -- forwards ------------------------------------------------------------------------------------


def forwards(count: int, **failure: Any) -> list[Figure]:
    meter = RecordingMeter()
    bench = ForwardBench(*(QuiklyError("no", **failure) for _ in range(count)))
    result = bench.run(*map(forward_message, range(count)))
    report_forwards(result, meter, RecordingLog().logger, unhidden=0)
    return written("quikly-forward", meter)


# -- what AWS writes -----------------------------------------------------------------------------


def crash(function: str) -> Cause:
    """Let two invocations end as a function's do that has a bug; Lambda counts them."""

    def figures() -> list[Figure]:
        def bug(*_: object) -> None:
            raise RuntimeError("a bug")

        errors = 0
        for _ in range(2):
            with contextlib.redirect_stdout(io.StringIO()):
                try:
                    background_handler(bug)({}, LambdaContext())  # type: ignore[arg-type]  # a stand-in
                except HandlerFailedError:
                    errors += 1
        return by_aws("AWS/Lambda", "Errors", {"FunctionName": {"Ref": function}}, *[1.0] * errors)

    return Cause("2 invocations that fail", False, figures)


class LambdaContext:
    """What Lambda gives a handler beside the event."""

    function_name = "function"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-west-1:123456789012:function:function"
    aws_request_id = "request-1"


def dead_letter(queue: str) -> Cause:
    dimension = {"QueueName": {"Fn::GetAtt": [queue, "QueueName"]}}
    return Cause(
        "1 message in the dead-letter queue",
        False,
        lambda: by_aws("AWS/SQS", "ApproximateNumberOfMessagesVisible", dimension, 1.0),
    )


def throttle_functions() -> list[Figure]:
    return [
        figure
        for at in (SOON, 310.0)
        for figure in by_aws("AWS/Lambda", "Throttles", {}, *[1.0] * 10, at=at)
    ]


NOT_CALLED: Final = Cause("no run for 15 minutes", False, list)

CAUSES: Final[dict[str, Cause]] = {
    "DoorErrorsAlarm": Cause("3 answers 5xx while the queue is away", True, fail_at_the_door),
    "DoorThrottledAlarm": Cause("20 lines of the access log with 429", False, throttle_the_door),
    "BrazeKeyRefusedAlarm": Cause("Braze answers 401", True, lambda: delivery(refuse_the_key)),
    "DeliveryErrorsAlarm": crash("BrazeDeliveryFunction"),
    "SendersRefusedAlarm": Cause(
        "Iterate's role sends an Outgrow job", True, lambda: delivery(send_as_another_role)
    ),
    "JobsRejectedAlarm": Cause("Braze refuses 5 jobs", True, lambda: delivery(refuse_five_jobs)),
    "UnclearAnswersAlarm": Cause(
        "5 answers with an error that names no object",
        True,
        lambda: delivery(answer_five_times_unclearly),
    ),
    "PeopleUnrecordedAlarm": Cause(
        "the ledger takes no record of 10 people", True, lambda: delivery(forget_ten_people)
    ),
    "OldestWaitAlarm": Cause("jobs that wait for 1,000 s, twice", True, deliver_late_jobs),
    "BodiesParkedAlarm": parked("outgrow-ingest"),
    "IterateBodiesParkedAlarm": parked("iterate-responses"),
    "IterateNamesAlarm": Cause("a new name on a full day", True, name_too_many_at_iterate),
    "AcquisitionNamesAlarm": Cause("a new name on a full day", True, name_too_many_at_quikly),
    "QuiklyEventsParkedAlarm": parked("quikly-events"),
    "BodyTooLargeAlarm": too_large("outgrow-ingest"),
    "IterateBodyTooLargeAlarm": too_large("iterate-responses"),
    "AcquisitionBodyTooLargeAlarm": too_large("quikly-acquisition-api"),
    "QuiklyEventsTooLargeAlarm": too_large("quikly-events"),
    "WebhookTooLargeAlarm": too_large("quikly-webhook"),
    "UnauthorizedAlarm": without_token("outgrow-ingest"),
    "IterateUnauthorizedAlarm": without_token("iterate-responses"),
    "AcquisitionUnauthorizedAlarm": without_token("quikly-acquisition-api"),
    "QuiklyEventsUnauthorizedAlarm": without_token("quikly-events"),
    "WebhookUnauthorizedAlarm": without_token("quikly-webhook"),
    "AcquisitionsFailedAlarm": Cause(
        "3 acquisitions whose group Braze does not know", True, fail_three_acquisitions
    ),
    "AcquisitionsLateAlarm": Cause(
        "a step that is due for 1,000 s", True, lambda: work(lambda sim: sim.clock.advance(1_000))
    ),
    "AcquisitionBrazeKeyRefusedAlarm": Cause(
        "Braze answers 401", True, lambda: work(refuse_braze_s_key)
    ),
    "CreditKeyRefusedAlarm": Cause("Quikly answers 401", True, lambda: work(refuse_quikly_s_key)),
    "AcquisitionWorkerErrorsAlarm": crash("QuiklyAcquisitionWorkerFunction"),
    "AcquisitionSweepErrorsAlarm": crash("QuiklyAcquisitionSweepFunction"),
    "AcquisitionSweepStoppedAlarm": NOT_CALLED,
    "ForwardKeyRefusedAlarm": Cause(
        "Quikly answers 401",
        True,
        lambda: forwards(1, status=401, retryable=True, key_refused=True),
    ),
    "ForwardsRejectedAlarm": Cause(
        "Quikly answers 5 calls 400", True, lambda: forwards(5, status=400, retryable=False)
    ),
    "ForwardErrorsAlarm": crash("QuiklyForwardFunction"),
    "WebhookSweepErrorsAlarm": crash("QuiklyWebhookSweepFunction"),
    "WebhookSweepStoppedAlarm": NOT_CALLED,
    "DeadLetterAlarm": dead_letter("DeliveryDeadLetterQueue"),
    "AcquisitionDeadLetterAlarm": dead_letter("AcquisitionDeadLetterQueue"),
    "ForwardDeadLetterAlarm": dead_letter("ForwardDeadLetterQueue"),
    "FunctionsThrottledAlarm": Cause("10 throttled calls, twice", False, throttle_functions),
}
"""By alarm, in the order of the table."""
