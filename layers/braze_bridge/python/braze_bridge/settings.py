"""The only reader of the environment, and the way to secrets: by name, on first use, cached.

A function's settings are a model; its fields are the environment variables in lower case, and a
test holds them against ``template.yaml``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping


class SettingsError(Exception):
    """The environment of the function is not what the template gives it."""


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class IngestSettings(_Settings):
    """What an ingest function needs to know.

    Attributes:
        partner_secret: Name of the secret with the partner's ``current`` and ``previous`` token.
        partner_config_dir: Folder that holds ``<partner>.toml``.
    """

    delivery_queue_url: str
    rejected_table: str
    partner_secret: str
    partner_config_dir: Path = Path("/opt/partner_config")


SettingsT = TypeVar("SettingsT", bound=_Settings)


def load_settings(model: type[SettingsT], environ: Mapping[str, str] | None = None) -> SettingsT:
    """Read a function's settings.

    Args:
        model: Which function's.
        environ: The variables; those of the process where left out.

    Raises:
        SettingsError: Names the variables that are missing or unreadable, without their values.
    """
    variables = os.environ if environ is None else environ
    given = {
        field: variables[field.upper()]
        for field in model.model_fields
        if field.upper() in variables
    }
    try:
        return model.model_validate(given)
    except ValidationError as error:
        wrong = sorted({str(item["loc"][0]).upper() for item in error.errors()})
        raise SettingsError(
            f"environment variables missing or unreadable: {', '.join(wrong)}"
        ) from None
