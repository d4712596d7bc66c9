"""Keyed hashes of people, jobs, events and attribute names. Pure."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from braze_bridge.ledger.version_1 import event_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from braze_bridge.ledger.port import PersonKey

_NAMES_CACHED: Final = 10_000
_LISTS_CACHED: Final = 1_000
_POSITION: Final = re.compile(r"(.*)#(0|[1-9][0-9]{0,5})", re.DOTALL)


class Fingerprints:
    """Keyed hashes of people, and 64-bit ones of jobs, events and attribute names.

    Keyed, since identifiers are guessable: a reader of the table could try e-mail addresses
    against a plain hash. The key is not in the table. With another key the ledger is empty. 64 bits
    are unique among what is stored of one person.

    Args:
        key: A secret of at most 64 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._person = hashlib.blake2b(key=key, digest_size=16, person=b"person")
        self._job = hashlib.blake2b(key=key, digest_size=8, person=b"job")
        self._once = hashlib.blake2b(key=key, digest_size=8, person=b"once")
        self._name = hashlib.blake2b(key=key, digest_size=8, person=b"attribute")
        self._names: dict[str, int] = {}
        self._lists: dict[tuple[str, ...], tuple[int, ...]] = {}

    def person(self, key: PersonKey) -> str:
        """Hash to 32 hexadecimal digits: at 128 bits no two people share an item."""
        digest = self._person.copy()
        # An alias has three parts. Their lengths keep ("a", "bc") and ("ab", "c") apart.
        text = (
            f"{key[0]}:{key[1]}"
            if len(key) == 2  # noqa: PLR2004 - a kind and a value
            else "".join([f"{len(part)}:{part}" for part in key])
        )
        digest.update(text.encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def job(self, job_id: str) -> int:
        """Hash a job's id."""
        return _short(self._job, job_id)

    def once(self, once_id: str) -> int:
        """Hash an id of :attr:`DeliveryJob.once_ids`.

        Those that end with a position follow the hash of their job's id: so the positions that
        version 1 kept of a job are found, though nothing but the job's hash was stored.
        """
        if once_id[-1:].isdecimal() and (parts := _POSITION.fullmatch(once_id)):
            return event_of(_short(self._job, parts[1]), int(parts[2]))
        return _short(self._once, once_id)

    def names(self, attributes: Iterable[str]) -> tuple[int, ...]:
        """Hash names of attributes. Cached, alone and together, since both repeat."""
        names = tuple(attributes)
        shorts = self._lists.get(names)
        if shorts is None:
            known = self._names
            shorts = tuple([known.get(each) or self._new_name(each) for each in names])
            if len(self._lists) < _LISTS_CACHED:
                self._lists[names] = shorts
        return shorts

    def _new_name(self, attribute: str) -> int:
        short = _short(self._name, attribute)
        if len(self._names) < _NAMES_CACHED:
            self._names[attribute] = short
        return short


def _short(keyed: hashlib.blake2b, text: str) -> int:
    digest = keyed.copy()
    digest.update(text.encode("utf-8", "surrogatepass"))
    return int.from_bytes(digest.digest(), "little")
