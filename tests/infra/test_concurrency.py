"""`bridge doctor` knows how many executions the template's queues can start at the same time."""

from __future__ import annotations

from typing import Any

import pytest

from ops.stack.access import site_of
from tests.infra.template import Template

CHANGED = {"DeliveryMaximumConcurrency": "40", "ForwardMaximumConcurrency": "5"}


@pytest.mark.parametrize("parameters", [{}, CHANGED], ids=["defaults", "changed"])
def test_the_doctor_counts_every_queue_s_limit(parameters: dict[str, str]) -> None:
    """Each event source has a limit, and their sum is compared with the account's quota."""
    template = Template(**parameters)
    limits = [
        int(template.properties(name)["ScalingConfig"]["MaximumConcurrency"])
        for name in template.of_type("AWS::Lambda::EventSourceMapping")
    ]
    found: Any = {
        "Outputs": [{"OutputKey": "ApiUrl", "OutputValue": "https://api.example"}],
        "Parameters": [
            {"ParameterKey": name, "ParameterValue": str(value)}
            for name, value in template.parameters.items()
        ],
    }
    cloudwatch: Any = None

    assert site_of("bridge", found, cloudwatch).queue_executions == sum(limits)
