"""What a parked body becomes by its partner's mapping, as the partner's file says now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from pydantic_core import from_json

from braze_bridge.mapping.outcomes import Unmappable
from braze_bridge.partner_config.toml_files import load_iterate, load_outgrow, load_quikly
from braze_bridge.reasons import Reason
from iterate_responses import mapping as iterate
from outgrow_ingest import mapping as outgrow
from quikly_events import mapping as quikly_events

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from braze_bridge.jobs.rejected import RejectedRecord
    from braze_bridge.mapping.outcomes import Outcome


class BodyMapping(Protocol):
    """One partner's."""

    def __call__(self, body: object, record: RejectedRecord) -> Outcome:
        """Map a parsed body.

        Args:
            body: A JSON value.
            record: What it was parked as.
        """
        ...


def outgrow_mapping(directory: Path) -> BodyMapping:
    """Outgrow's, by the ``outgrow.toml`` of a folder.

    Raises:
        ConfigError: The file has mistakes.
    """
    config = load_outgrow(directory)

    def map_body(body: object, record: RejectedRecord) -> Outcome:
        content_id = (record.route or "").removeprefix("/outgrow").removeprefix("/") or None
        return outgrow.map_response(
            body,
            content_id=content_id,
            rule=config.rule_for(content_id),
            # A response without a time of its own is as old as its first sighting: dated by the
            # replay it would overwrite what the person answered since.
            received_at=record.first_seen,
            correlation_id=record.correlation_id,
        )

    return map_body


def iterate_mapping(directory: Path) -> BodyMapping:
    """Iterate's, by the ``iterate.toml`` of a folder.

    Raises:
        ConfigError: The file has mistakes.
    """
    config = load_iterate(directory)

    def map_body(body: object, record: RejectedRecord) -> Outcome:
        return iterate.map_response(
            body,
            config=config,
            received_at=record.first_seen,  # as above
            correlation_id=record.correlation_id,
        )

    return map_body


def quikly_events_mapping(directory: Path) -> BodyMapping:
    """Quikly's activation events, by the ``quikly.toml`` of a folder.

    Raises:
        ConfigError: The file has mistakes.
    """
    config = load_quikly(directory)

    def map_body(body: object, record: RejectedRecord) -> Outcome:
        return quikly_events.map_event(
            body,
            config=config,
            received_at=record.first_seen,  # as above
            correlation_id=record.correlation_id,
        )

    return map_body


LOADERS: Final[Mapping[str, Callable[[Path], BodyMapping]]] = {
    iterate.SOURCE: iterate_mapping,
    outgrow.SOURCE: outgrow_mapping,
    quikly_events.SOURCE: quikly_events_mapping,
}
"""By source: every partner whose door parks bodies."""


class BodyMappings:
    """Every partner's mapping; each file is read when the first body asks for it."""

    def __init__(self, directory: Path) -> None:
        """Build them.

        Args:
            directory: The folder with ``<partner>.toml``.
        """
        self._directory = directory
        self._loaded: dict[str, BodyMapping] = {}

    def outcome(self, record: RejectedRecord) -> Outcome:
        """What becomes of a record of kind ``body`` that came in by a partner's route.

        Nobody is asked for a token: the body had the right one when it was parked.

        Raises:
            ConfigError: The partner's file has mistakes.
        """
        loader = LOADERS.get(record.source)
        if loader is None:
            return Unmappable((Reason(code="unknown_route", field="route"),))
        try:
            # As the door parses: bounded, and no NaN.
            body = from_json(record.payload, allow_inf_nan=False)
        except ValueError:
            return Unmappable((Reason(code="not_json", detail="the body is not JSON"),))
        if record.source not in self._loaded:
            self._loaded[record.source] = loader(self._directory)
        return self._loaded[record.source](body, record)
