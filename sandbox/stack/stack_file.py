"""The addresses and names of a running local stack: `stack.json` in its folder."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import boto3
from botocore.config import Config
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME: Final = "stack.json"


class AccessKey(NamedTuple):
    """The root key of a stack's AWS engine. It opens nothing else."""

    id: str
    secret: str

    @classmethod
    def random(cls) -> Self:
        """Make a key that no web page can guess."""
        return cls(f"LOCAL{secrets.token_hex(16).upper()}", secrets.token_hex(20))

    def session(self, region: str) -> boto3.Session:
        """Make a session with this key; ignores the environment."""
        return boto3.Session(self.id, self.secret, region_name=region)


class StackFile(BaseModel):
    """Addresses and names of a local stack.

    Attributes:
        api_url: Routes follow it: `{api_url}/outgrow`.
        braze_url: The stand-in Braze.
        braze_api_key: The key that the stand-in takes and the stack holds.
        console_url: The stand-in's page for people (`sandbox/page`).
        tokens: What each caller must send: `outgrow`, `iterate`, `quikly`, `braze_webhook`.
        queues: URLs by name: `delivery`, `acquisition`, `forward`, and each with `_dead_letter`.
        tables: Names of tables by name: `rejected`, `ledger`, `acquisitions`, `claims`.
        secrets: Names of secrets by name: `braze`, `outgrow`, `iterate`, `quikly`,
            `braze_webhook`, `quikly_api`, `claims`.
        functions: Names of functions by package, and by module where a package has several:
            `outgrow_ingest`, `quikly_acquisition_api`, `quikly_forward`, `braze_delivery` …
        log_groups: Names of log groups, called as their functions, and `door`.
        aws_endpoint_url: The local AWS engine.
        access_key_id: Of the engine's root. The engine takes no other key.
        secret_access_key: Its other half.
        region: The AWS region that it imitates.
        stack_name: The CloudFormation stack.
        logs: Folder with the logs of the engine, the stand-in, the build and the deployment.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    api_url: str
    braze_url: str
    braze_api_key: str = Field(repr=False)
    console_url: str
    tokens: dict[str, str] = Field(repr=False)
    queues: dict[str, str]
    tables: dict[str, str]
    secrets: dict[str, str]
    functions: dict[str, str]
    log_groups: dict[str, str]
    aws_endpoint_url: str
    access_key_id: str
    secret_access_key: str = Field(repr=False)
    region: str
    stack_name: str
    logs: str

    def write(self, folder: Path) -> None:
        """Write the file, readable by its owner only: it holds tokens."""
        part = folder / f"{FILE_NAME}.part"
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as output:
            output.write(self.model_dump_json(indent=2) + "\n")
        part.replace(folder / FILE_NAME)

    @classmethod
    def read(cls, folder: Path) -> StackFile:
        """Read the file.

        Raises:
            FileNotFoundError: No stack is up in this folder.
        """
        return cls.model_validate_json((folder / FILE_NAME).read_text())

    def session(self) -> boto3.Session:
        """Make a session with the local engine's root credentials; ignores the environment."""
        return AccessKey(self.access_key_id, self.secret_access_key).session(self.region)

    def client_options(self) -> dict[str, Any]:
        """Return arguments for `session().client(name, …)`: the engine's address, bounded time."""
        return client_options(self.aws_endpoint_url)


def client_options(endpoint_url: str) -> dict[str, Any]:
    """Return :meth:`StackFile.client_options` before there is a file."""
    config = Config(
        connect_timeout=2,
        read_timeout=60,  # a function that starts on a busy machine
        retries={"total_max_attempts": 1},
        proxies={},  # a proxy set in the environment cannot reach this machine's loopback
    )
    return {"endpoint_url": endpoint_url, "config": config}
