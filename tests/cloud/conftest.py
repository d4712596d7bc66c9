"""The stack that `BRIDGE_CLOUD_STACK` names; without it, this room is skipped.

    BRIDGE_CLOUD_STACK=braze-bridge-dev .venv/bin/python -m pytest tests/cloud

Credentials and region are those that the AWS command line would use. `BRIDGE_CLOUD_API_URL` posts
to another address than the output `ApiUrl`: while the DNS record of a custom domain is not set yet.
The tests write one test profile into the stack's Braze workspace and delete what they park.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3
import pytest
import requests

from braze_bridge.aws.clients import bounded_config
from ops.stack.access import SecretsAccess, outputs_of
from ops.stack_secrets.stored_secrets import current

if TYPE_CHECKING:
    from ops.stack.secret_names import SecretName

HERE: Final = Path(__file__).parent
VARIABLE: Final = "BRIDGE_CLOUD_STACK"
CALL_SECONDS: Final = 35  # API Gateway itself gives up after 29


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Nothing here runs unasked: it needs an account, and writes into it."""
    unasked = pytest.mark.skip(reason=f"needs a deployed stack: set {VARIABLE} to its name")
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.cloud)
            if not os.environ.get(VARIABLE):
                item.add_marker(unasked)


@dataclass(frozen=True)
class Cloud:
    """A deployed stack."""

    name: str

    def client(self, service: str) -> Any:
        create: Any = boto3.client  # stubs are not installed for every service asked here
        return create(service, config=bounded_config())

    @cached_property
    def outputs(self) -> dict[str, str]:
        return outputs_of(self.client("cloudformation"), self.name)

    @cached_property
    def resources(self) -> dict[str, list[tuple[str, str]]]:
        """Logical and physical id of each resource, by type."""
        pages = self.client("cloudformation").get_paginator("list_stack_resources")
        found: dict[str, list[tuple[str, str]]] = {}
        for page in pages.paginate(StackName=self.name):
            for each in page["StackResourceSummaries"]:
                ids = (each["LogicalResourceId"], each["PhysicalResourceId"])
                found.setdefault(each["ResourceType"], []).append(ids)
        return found

    @cached_property
    def parameters(self) -> dict[str, str]:
        (stack,) = self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        return {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}

    @property
    def api_url(self) -> str:
        return os.environ.get("BRIDGE_CLOUD_API_URL") or self.outputs["ApiUrl"]

    def secret(self, name: SecretName) -> str:
        return current(SecretsAccess(self.name, self.client("secretsmanager")), name)

    def post(
        self,
        route: str,
        body: bytes,
        *,
        partner: SecretName | None = None,
        content_type: str = "application/json",
    ) -> requests.Response:
        headers = {"Content-Type": content_type}
        if partner is not None:
            headers["Authorization"] = f"Bearer {self.secret(partner)}"
        return requests.post(
            self.api_url + route,
            data=body,
            headers=headers,
            timeout=CALL_SECONDS,
            allow_redirects=False,
        )


@pytest.fixture(scope="session")
def cloud() -> Cloud:
    return Cloud(os.environ[VARIABLE])
