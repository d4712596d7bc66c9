"""A deployment to production first gets a part of the calls, and rolls back by itself."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Final

import pytest

from ops.deployment.deploy import parameters_of
from tests.infra.template import ROOT, Template, default_template

FUNCTIONS: Final = sorted(default_template().of_type("AWS::Lambda::Function"))


@pytest.fixture(scope="module")
def canary() -> Template:
    return Template(Canary="true")


def group_of(canary: Template, function: str) -> str:
    """The deployment group that a function's alias is shifted by."""
    alias = canary.plain["Resources"][f"{function}Aliaslive"]
    group: str = alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]["DeploymentGroupName"]["Ref"]
    return group


def watched(canary: Template, function: str) -> set[str]:
    """The alarms that roll a function back."""
    alarms = canary.properties(group_of(canary, function))["AlarmConfiguration"]["Alarms"]
    return {alarm["Name"]["Ref"] for alarm in alarms}


def test_without_it_there_is_no_codedeploy(template: Template) -> None:
    """The local engine has none, and a stack for trying things needs none."""
    plain = json.dumps(template.plain["Resources"])

    assert "AWS::CodeDeploy" not in plain
    assert "CodeDeployLambdaAliasUpdate" not in plain


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_takes_a_tenth_for_five_minutes_and_rolls_back(
    canary: Template, function: str
) -> None:
    """Each function, since one without it would get every call at once."""
    group = canary.properties(group_of(canary, function))
    rollback = group["AutoRollbackConfiguration"]

    assert "LambdaCanary10Percent5Minutes" in json.dumps(group["DeploymentConfigName"])
    assert rollback["Enabled"] is True
    assert {"DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM"} <= set(rollback["Events"])
    assert group["AlarmConfiguration"]["Enabled"] is True


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_s_own_failures_roll_it_back(canary: Template, function: str) -> None:
    """Behind the API the 5xx answers, elsewhere the function's errors."""
    alarms = watched(canary, function)
    events = canary.source["Resources"][function]["Properties"]["Events"].values()

    assert alarms <= canary.of_type("AWS::CloudWatch::Alarm").keys()
    if "Api" in {event["Type"] for event in events}:
        assert "DoorErrorsAlarm" in alarms
        return
    own = [
        alarm
        for alarm in alarms
        if canary.properties(alarm)["MetricName"] == "Errors"
        and canary.properties(alarm)["Dimensions"]
        == [{"Name": "FunctionName", "Value": {"Ref": function}}]
    ]
    assert own


def test_no_alarm_that_a_deployment_fixes_stops_it(canary: Template) -> None:
    """An active alarm stops a deployment, and a new mapping fixes what a mapping caused."""
    everywhere = set().union(*(watched(canary, function) for function in FUNCTIONS))
    metrics = {canary.properties(alarm)["MetricName"] for alarm in everywhere}

    assert not metrics & {"BodiesParked", "JobsRejected", "ForwardsRejected", "AcquisitionsFailed"}


def test_production_asks_for_it_and_a_trial_does_not() -> None:
    """As samconfig.toml is delivered."""
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())

    assert parameters_of(config, "prod").get("Canary") == "true"
    assert "Canary" not in parameters_of(config, "dev")
    assert "Canary" not in parameters_of(config, "local")


def test_every_function_is_called_by_its_alias(template: Template) -> None:
    """A caller of the function without the alias would get all of the new version at once."""
    for name, mapping in template.of_type("AWS::Lambda::EventSourceMapping").items():
        assert re.search(r"Aliaslive", json.dumps(mapping["Properties"]["FunctionName"])), name
    for rule in template.of_type("AWS::Events::Rule").values():
        for target in rule["Properties"]["Targets"]:
            assert "Aliaslive" in json.dumps(target["Arn"])
    paths = template.properties("BridgeApi")["Body"]["paths"]
    for item in paths.values():
        for method in item.values():
            uri = json.dumps(method["x-amazon-apigateway-integration"]["uri"])
            assert "Aliaslive" in uri
