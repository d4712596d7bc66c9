"""The template as CloudFormation gets it, and values out of it."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any, Final

import boto3
import yaml
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

ROOT: Final = Path(__file__).parents[2]
REGION: Final = "eu-west-1"
STACK: Final = "bridge"
CERTIFICATE: Final = (
    "arn:aws:acm:eu-west-1:123456789012:certificate/12345678-1234-1234-1234-123456789012"
)
NAMESPACE: Final = f"BrazeBridge/{STACK}"
"""The namespace of one stack's metrics: two stacks must not cause each other's alarms."""

PACKAGED: Final = "s3://bucket/key"
"""A folder as `sam deploy` uploads it: the transform refuses a local one."""

Resource = dict[str, Any]


def whole_template() -> dict[str, Any]:
    """Read `template.yaml` with its included files, as CloudFormation inserts them."""
    whole: dict[str, Any] = _with_includes(yaml_parse((ROOT / "template.yaml").read_text()))
    return whole


def _with_includes(node: Any) -> Any:
    if isinstance(node, list):
        return [_with_includes(item) for item in node]
    if not isinstance(node, dict):
        return node
    expanded = {key: _with_includes(item) for key, item in node.items() if key != "Fn::Transform"}
    if "Fn::Transform" in node:
        location = node["Fn::Transform"]["Parameters"]["Location"]
        # The plain loader, as CloudFormation's: it knows no short forms.
        expanded |= yaml.safe_load((ROOT / location).read_text())
    return expanded


class Template:
    """One deployment's template.

    Args:
        parameters: What differs from the template's defaults.
    """

    def __init__(self, **parameters: str) -> None:
        source = whole_template()
        self.source: dict[str, Any] = source
        self.parameters: dict[str, Any] = {
            name: rule["Default"]
            for name, rule in source["Parameters"].items()
            if "Default" in rule
        } | {"BrazeInstance": "US-01", **parameters}
        packaged = copy.deepcopy(source)
        packaged["Globals"]["Function"]["CodeUri"] = PACKAGED
        for resource in packaged["Resources"].values():
            if resource["Type"] == "AWS::Serverless::LayerVersion":
                resource["Properties"]["ContentUri"] = PACKAGED
        translator = Translator({}, Parser(), boto_session=boto3.Session(region_name=REGION))
        self.plain: dict[str, Any] = translator.translate(packaged, dict(self.parameters))

    def of_type(self, kind: str) -> dict[str, Resource]:
        """The plain resources of a type, by logical id, that the conditions let exist."""
        return {
            name: resource
            for name, resource in self.plain["Resources"].items()
            if resource["Type"] == kind and self._exists(resource)
        }

    def properties(self, name: str) -> dict[str, Any]:
        """A plain resource's properties, resolved."""
        resolved: dict[str, Any] = self.resolve(self.plain["Resources"][name]["Properties"])
        return resolved

    def resolve(self, value: Any) -> Any:  # noqa: PLR0911 - a return for each function
        """Evaluate what depends only on parameters; references to resources stay as they are."""
        if isinstance(value, list):
            return [item for item in map(self.resolve, value) if item is not None]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            function, argument = next(iter(value.items()))
            match function:
                case "Ref":
                    return self._referred(argument)
                case "Fn::Join":
                    between, parts = self.resolve(argument)
                    return between.join(parts)
                case "Fn::FindInMap":
                    mapping, first, second = self.resolve(argument)
                    return self.plain["Mappings"][mapping][str(first)][second]
                case "Fn::If":
                    condition, yes, no = argument
                    return self.resolve(yes if self.holds(condition) else no)
                case "Fn::Sub":
                    return self._substituted(argument)
        resolved = {key: self.resolve(item) for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item is not None}

    def _referred(self, name: str) -> Any:
        """Evaluate a `Ref`: of a resource it stays as it is."""
        constants = {"AWS::NoValue": None, "AWS::StackName": STACK, "AWS::Partition": "aws"}
        known = {**constants, **self.parameters}
        if name not in known:
            return {"Ref": name}
        value = known[name]
        rule = self.source["Parameters"].get(name, {})
        return value.split(",") if rule.get("Type") == "CommaDelimitedList" else value

    def _substituted(self, argument: Any) -> str:
        """Evaluate a `Fn::Sub`; `${Resource}` stays as it is."""
        text, variables = (argument, {}) if isinstance(argument, str) else argument
        known = {**self.parameters, "AWS::StackName": STACK, **self.resolve(variables)}
        for name, value in known.items():
            text = text.replace(f"${{{name}}}", str(value))
        return str(text)

    def holds(self, condition: str) -> bool:
        """Whether a condition of the template is true."""
        return self._is_true(self.plain["Conditions"][condition])

    def _is_true(self, expression: dict[str, Any]) -> bool:
        function, argument = next(iter(expression.items()))
        match function:
            case "Fn::Equals":
                first, second = self.resolve(argument)
                return bool(first == second)
            case "Fn::Not":
                return not self._is_true(argument[0])
            case "Fn::And":
                return all(map(self._is_true, argument))
            case "Fn::Or":
                return any(map(self._is_true, argument))
            case "Condition":
                return self.holds(argument)
        raise AssertionError(f"the template uses {function}, which this reader does not know")

    def _exists(self, resource: Resource) -> bool:
        return "Condition" not in resource or self.holds(resource["Condition"])


@cache
def default_template() -> Template:
    """The template with its defaults."""
    return Template()


def template_with_every_part() -> Template:
    """The template with every optional part."""
    account = "eu-west-1:123456789012"
    return Template(
        AlarmEmail="a@example.com",
        AllowedCidrs="192.0.2.0/24",
        Canary="true",
        DomainCertificateArn=CERTIFICATE,
        DomainName="bridge.example.com",
        ManageApiLoggingRole="true",
        PermissionsBoundaryArn="arn:aws:iam::123456789012:policy/boundary",
        Tracing="true",
        UrgentAlarmTopicArn=f"arn:aws:sns:{account}:urgent",
        WebAclArn=f"arn:aws:wafv2:{account}:regional/webacl/a/b",
        WebhookReservedConcurrency="100",
    )
