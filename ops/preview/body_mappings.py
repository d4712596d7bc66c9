"""Map a parked body again, as the partner's file says now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from braze_bridge.mapping.link_signatures import no_signature_fits
from braze_bridge.mapping.outcomes import Unmappable
from braze_bridge.partner_config.toml_files import load_iterate, load_outgrow, load_quikly
from braze_bridge.reasons import Reason
from braze_bridge.web.json_text import read_json
from iterate_responses import mapping as iterate
from outgrow_ingest import mapping as outgrow
from quikly_events import mapping as quikly_events

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import TypeAlias

    from braze_bridge.jobs.rejected import RejectedRecord
    from braze_bridge.mapping.link_signatures import SignatureCheck
    from braze_bridge.mapping.outcomes import Outcome

    BodyMapping: TypeAlias = Callable[[object, RejectedRecord, SignatureCheck], Outcome]
    """Maps a parsed body and the record that it was parked as.

    A response without a time of its own gets the time of its first sighting: with the replay's time
    it would overwrite later answers of the person.
    """


def _outgrow_mapping(directory: Path) -> BodyMapping:
    config = load_outgrow(directory)

    def map_body(body: object, record: RejectedRecord, signature_fits: SignatureCheck) -> Outcome:
        content_id = (record.route or "").removeprefix("/outgrow").removeprefix("/") or None
        return outgrow.map_response(
            body,
            content_id=content_id,
            rule=config.rule_for(content_id),
            received_at=record.first_seen,
            correlation_id=record.correlation_id,
            untimed_is_newest=config.door.untimed_is_newest,
            signature_fits=signature_fits,
        )

    return map_body


def _iterate_mapping(directory: Path) -> BodyMapping:
    config = load_iterate(directory)
    return lambda body, record, signature_fits: iterate.map_response(
        body,
        config=config,
        received_at=record.first_seen,
        correlation_id=record.correlation_id,
        signature_fits=signature_fits,
    )


def _quikly_events_mapping(directory: Path) -> BodyMapping:
    config = load_quikly(directory)
    return lambda body, record, _: quikly_events.map_event(
        body,
        config=config,
        received_at=record.first_seen,
        correlation_id=record.correlation_id,
    )


LOADERS: Final[Mapping[str, Callable[[Path], BodyMapping]]] = {
    iterate.SOURCE: _iterate_mapping,
    outgrow.SOURCE: _outgrow_mapping,
    quikly_events.SOURCE: _quikly_events_mapping,
}
"""By source, for every partner whose bodies are parked. A loader reads the file in a folder and
raises ``ConfigError`` if it has mistakes."""


class BodyMappings:
    """Every partner's mapping; each file is read when the first body needs it.

    Args:
        directory: The folder with ``<partner>.toml``.
        signature_check: Makes the check of signed links for a source.
    """

    def __init__(
        self,
        directory: Path,
        signature_check: Callable[[str], SignatureCheck] = lambda _: no_signature_fits,
    ) -> None:
        self._directory = directory
        self._signature_check = signature_check
        self._loaded: dict[str, BodyMapping] = {}

    def outcome(self, record: RejectedRecord) -> Outcome:
        """Map a record of kind ``body`` that came in by a partner's route.

        The token is not checked: it was right when the body was parked.

        Raises:
            ConfigError: The partner's file has mistakes.
        """
        loader = LOADERS.get(record.source)
        if loader is None:
            return Unmappable((Reason(code="unknown_route", field="route"),))
        try:
            body = read_json(record.payload.encode()).value
        except ValueError:
            return Unmappable((Reason(code="not_json", detail="the body is not JSON"),))
        if record.source not in self._loaded:
            self._loaded[record.source] = loader(self._directory)
        return self._loaded[record.source](body, record, self._signature_check(record.source))
