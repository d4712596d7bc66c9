"""Names of a stack's secrets."""

from __future__ import annotations

from typing import Literal

SecretName = Literal["braze", "outgrow", "iterate", "quikly", "braze-webhook", "quikly-api"]
