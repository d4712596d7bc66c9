"""Each function can be started: its handler, its zip, its settings and its log."""

from __future__ import annotations

import importlib
import re
from typing import Any

import pytest

from braze_bridge.settings import IngestSettings, NamingIngestSettings, load_settings
from braze_delivery.settings import DeliverySettings
from quikly_acquisition.settings import (
    AcquisitionApiSettings,
    AcquisitionSweepSettings,
    AcquisitionWorkerSettings,
)
from quikly_forward.settings import ForwardSettings
from quikly_webhook.settings import ClaimsSettings, WebhookSettings
from tests.infra.template import NAMESPACE, ROOT, Template

SETTINGS: dict[
    str,
    type[
        IngestSettings
        | AcquisitionApiSettings
        | AcquisitionWorkerSettings
        | AcquisitionSweepSettings
        | WebhookSettings
        | ClaimsSettings
        | ForwardSettings
        | DeliverySettings
    ],
] = {
    "OutgrowIngestFunction": IngestSettings,
    "IterateResponsesFunction": NamingIngestSettings,
    "QuiklyAcquisitionApiFunction": AcquisitionApiSettings,
    "QuiklyAcquisitionWorkerFunction": AcquisitionWorkerSettings,
    "QuiklyAcquisitionSweepFunction": AcquisitionSweepSettings,
    "QuiklyWebhookFunction": WebhookSettings,
    "QuiklyWebhookSweepFunction": ClaimsSettings,
    "QuiklyForwardFunction": ForwardSettings,
    "QuiklyEventsFunction": IngestSettings,
    "BrazeDeliveryFunction": DeliverySettings,
}
OF_POWERTOOLS = {
    "POWERTOOLS_SERVICE_NAME",
    "POWERTOOLS_METRICS_NAMESPACE",
    "POWERTOOLS_LOG_LEVEL",
}
API_GATEWAY_SECONDS = 29


def variables(template: Template, function: str) -> dict[str, Any]:
    found: dict[str, Any] = template.properties(function)["Environment"]["Variables"]
    return found


def test_every_function_is_checked_here(template: Template) -> None:
    """A new function's settings are checked, too."""
    assert template.of_type("AWS::Lambda::Function").keys() == SETTINGS.keys()


@pytest.mark.parametrize("function", sorted(SETTINGS))
def test_a_handler_exists(template: Template, function: str) -> None:
    """Lambda can import and call it."""
    module, _, name = template.properties(function)["Handler"].rpartition(".")

    assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize("function", sorted(SETTINGS))
def test_a_function_s_variables_are_its_settings(template: Template, function: str) -> None:
    """The model has every variable of the template, and no other."""
    fields = {field.upper() for field in SETTINGS[function].model_fields}

    assert variables(template, function).keys() == fields | OF_POWERTOOLS


@pytest.mark.parametrize("function", sorted(SETTINGS))
def test_a_function_takes_the_template_s_defaults(template: Template, function: str) -> None:
    """A deployment that only names its Braze instance works."""
    given = {
        name: value if isinstance(value, str) else "of-a-resource"
        for name, value in variables(template, function).items()
    }

    settings = load_settings(SETTINGS[function], given)

    assert "of-a-resource" in settings.model_dump().values()


@pytest.mark.parametrize("function", sorted(SETTINGS))
def test_variables_are_texts(template: Template, function: str) -> None:
    """The local engine starts no function with a number in its variables."""
    values = variables(template, function).values()

    assert [value for value in values if not isinstance(value, str | dict)] == []


def test_metrics_go_to_our_namespace(template: Template) -> None:
    """The alarms look there."""
    for function in SETTINGS:
        assert variables(template, function)["POWERTOOLS_METRICS_NAMESPACE"] == NAMESPACE


def test_makefile_targets_are_the_functions_and_their_packages_exist(template: Template) -> None:
    """`sam build` finds a target for each logical id, and each zip holds the handler's package."""
    makefile = (ROOT / "functions" / "Makefile").read_text()
    targets = dict(re.findall(r"^build-(\w+): package = (\w+)$", makefile, re.MULTILINE))
    handlers = {
        name: template.properties(name)["Handler"].partition(".")[0]
        for name in template.of_type("AWS::Lambda::Function")
    }

    assert targets == handlers
    for package in targets.values():
        assert (ROOT / "functions" / package / "__init__.py").is_file()


def test_layers_have_makefile_targets_of_their_names(template: Template) -> None:
    """The same for layers."""
    layers = {
        name: resource["Properties"]["ContentUri"]
        for name, resource in template.source["Resources"].items()
        if resource["Type"] == "AWS::Serverless::LayerVersion"
    }

    assert layers.keys() == {"BrazeBridgeLayer", "PartnerConfigLayer"}
    for name, folder in layers.items():
        makefile = (ROOT / folder / "Makefile").read_text()
        assert re.search(rf"^build-{name}:", makefile, re.MULTILINE)


def test_everything_is_built_by_makefile(template: Template) -> None:
    """Other methods build a layer that fails in the cloud, or need one exact Python."""
    kinds = ("AWS::Serverless::Function", "AWS::Serverless::LayerVersion")
    methods = {
        name: resource["Metadata"]["BuildMethod"]
        for name, resource in template.source["Resources"].items()
        if resource["Type"] in kinds
    }

    assert set(methods.values()) == {"makefile"}


def test_a_change_of_a_layer_alone_reaches_the_alias(template: Template) -> None:
    """Layer and function both need the property."""
    for resource in template.source["Resources"].values():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Serverless::LayerVersion":
            assert properties["PublishLambdaVersion"] is True
        if resource["Type"] == "AWS::Serverless::Function":
            assert properties["AutoPublishAliasAllProperties"] is True
    aliases = template.of_type("AWS::Lambda::Alias")
    assert [alias["Properties"]["Name"] for alias in aliases.values()] == ["live"] * len(SETTINGS)


@pytest.mark.parametrize(("chosen", "mode"), [("false", "PassThrough"), ("true", "Active")])
def test_functions_are_traced_only_if_asked(chosen: str, mode: str) -> None:
    """Drop by drop X-Ray was a quarter of the costs."""
    template = Template(Tracing=chosen)

    for function in SETTINGS:
        assert template.properties(function)["TracingConfig"] == {"Mode": mode}


def test_lambda_s_own_lines_are_left_out_and_ours_are_not(template: Template) -> None:
    """Metrics are lines, too: Lambda's filter must let every level pass."""
    for function in SETTINGS:
        logging = template.properties(function)["LoggingConfig"]
        assert logging["LogFormat"] == "JSON"  # the other format has no levels
        assert logging["SystemLogLevel"] == "WARN"
        assert logging["ApplicationLogLevel"] == "DEBUG"


@pytest.mark.parametrize(("chosen", "reserved"), [("0", None), ("50", "50")])
def test_the_webhook_can_have_concurrency_of_its_own(chosen: str, reserved: str | None) -> None:
    """Off by default: an account with ten concurrent executions cannot reserve any."""
    template = Template(WebhookReservedConcurrency=chosen)
    found = {
        function: template.properties(function).get("ReservedConcurrentExecutions")
        for function in SETTINGS
    }

    assert found.pop("QuiklyWebhookFunction") == reserved
    assert set(found.values()) == {None}


def test_delivery_s_memory_is_a_parameter(template: Template) -> None:
    """docs/costs.md says what the smaller size saves."""
    small = Template(DeliveryMemory="1024")

    assert template.properties("BrazeDeliveryFunction")["MemorySize"] == 1769
    assert small.properties("BrazeDeliveryFunction")["MemorySize"] == "1024"


def test_a_function_behind_the_api_answers_before_the_api_gives_up(template: Template) -> None:
    """Otherwise a partner gets 504 for a body that was accepted."""
    behind = {
        event["Properties"]["Path"]: template.properties(name)["Timeout"]
        for name, function in template.source["Resources"].items()
        if function["Type"] == "AWS::Serverless::Function"
        for event in function["Properties"]["Events"].values()
        if event["Type"] == "Api"
    }

    assert len(behind) >= 2
    assert max(behind.values()) < API_GATEWAY_SECONDS


def test_every_function_has_a_log_group_with_a_retention(template: Template) -> None:
    """A log group that Lambda creates by itself keeps its logs without a limit."""
    groups = template.of_type("AWS::Logs::LogGroup")
    used = [
        template.properties(function)["LoggingConfig"]["LogGroup"]["Ref"] for function in SETTINGS
    ]

    assert len(set(used)) == len(used)
    assert set(used) < groups.keys()
    for name in groups:
        assert template.properties(name)["RetentionInDays"] == 30


def test_both_layers_reach_the_functions_that_read_them(template: Template) -> None:
    """Delivery, the forward function and the acquisition sweep read no partner's file."""
    layers = {
        function: [
            re.sub("[0-9a-f]{10}$", "", layer["Ref"])  # the layer's version
            for layer in template.properties(function)["Layers"]
        ]
        for function in SETTINGS
    }

    assert layers == {
        "OutgrowIngestFunction": ["BrazeBridgeLayer", "PartnerConfigLayer"],
        "IterateResponsesFunction": ["BrazeBridgeLayer", "PartnerConfigLayer"],
        "QuiklyAcquisitionApiFunction": ["BrazeBridgeLayer", "PartnerConfigLayer"],
        "QuiklyAcquisitionWorkerFunction": ["BrazeBridgeLayer", "PartnerConfigLayer"],
        "QuiklyAcquisitionSweepFunction": ["BrazeBridgeLayer"],
        "QuiklyWebhookFunction": ["BrazeBridgeLayer", "PartnerConfigLayer"],
        "QuiklyWebhookSweepFunction": ["BrazeBridgeLayer", "PartnerConfigLayer"],
        "QuiklyForwardFunction": ["BrazeBridgeLayer"],
        "QuiklyEventsFunction": ["BrazeBridgeLayer", "PartnerConfigLayer"],
        "BrazeDeliveryFunction": ["BrazeBridgeLayer"],
    }
