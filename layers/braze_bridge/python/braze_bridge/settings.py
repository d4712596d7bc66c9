"""A function's settings: the only code that reads the environment.

Settings are a model. Its fields are the environment variables in lower case; a test compares them
with ``template.yaml``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping


class SettingsError(Exception):
    """The environment differs from the one that the template gives the function."""


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class IngestSettings(_Settings):
    """The settings of an ingest function.

    Attributes:
        partner_secret: Name of the secret with the partner's ``current`` and ``previous`` token.
        partner_config_dir: Folder that holds ``<partner>.toml``.
    """

    delivery_queue_url: str
    rejected_table: str
    partner_secret: str
    partner_config_dir: Path = Path("/opt/partner_config")


class NamingIngestSettings(IngestSettings):
    """The settings of an ingest function whose bodies name attributes.

    Attributes:
        ledger_table: Holds the names that were ever used.
    """

    ledger_table: str


SettingsT = TypeVar("SettingsT", bound=_Settings)


def load_settings(model: type[SettingsT], environ: Mapping[str, str] | None = None) -> SettingsT:
    """Read a function's settings, by default from the process's environment.

    Raises:
        SettingsError: Names the variables that are missing or unreadable, without their values.
    """
    variables = os.environ if environ is None else environ
    given = {name.lower(): value for name, value in variables.items() if name.isupper()}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        wrong = sorted({str(item["loc"][0]).upper() for item in error.errors()})
        raise SettingsError(
            f"environment variables missing or unreadable: {', '.join(wrong)}"
        ) from None
