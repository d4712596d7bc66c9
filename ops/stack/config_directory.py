"""The folder of the partners' TOML files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

CONFIG_DIRECTORY: Final = Path(__file__).parents[2] / "layers" / "partner_config"
"""What is deployed with this working copy."""
