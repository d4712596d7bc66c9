"""What mends lost messages comes each minute."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.infra.template import Template


def test_each_sweep_comes_each_minute_and_never_meets_itself(template: Template) -> None:
    """What waits longer than a message can, and what lost its message, is found within minutes."""
    functions = template.source["Resources"]
    swept = {
        name: event["Properties"]["Schedule"]
        for name, function in functions.items()
        if function["Type"] == "AWS::Serverless::Function"
        for event in function["Properties"]["Events"].values()
        if event["Type"] == "Schedule"
    }

    assert swept == {
        "QuiklyAcquisitionSweepFunction": "rate(1 minute)",
        "QuiklyWebhookSweepFunction": "rate(1 minute)",
    }
    assert len(template.of_type("AWS::Events::Rule")) == len(swept)
    assert all(template.properties(name)["Timeout"] < 60 for name in swept)


def test_a_run_that_lambda_could_not_start_is_kept_with_its_reason(template: Template) -> None:
    """A run that is a minute late is dropped: the next one does everything that is due."""
    configs = template.of_type("AWS::Lambda::EventInvokeConfig")

    assert len(configs) == 2
    for name in configs:
        config = template.properties(name)
        assert config["MaximumEventAgeInSeconds"] == 60
        assert config["MaximumRetryAttempts"] == 0
        assert config["DestinationConfig"]["OnFailure"]["Destination"] == {
            "Fn::GetAtt": ["SweepDeadLetterQueue", "Arn"]
        }
