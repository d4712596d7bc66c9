"""Whether the Braze key may do what an integration needs: asked of Braze, changing nothing."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from braze_bridge.braze.errors import (
    AuthenticationError,
    BrazeError,
    PermissionDeniedError,
    RateLimitedError,
)
from braze_bridge.braze.kpi import MauDataSeriesRequest

if TYPE_CHECKING:
    from braze_bridge.braze.kpi import MauDataSeriesResponse

MAU_PERMISSION: Final = "kpi.mau.data_series"
"""What Iterate asks for besides ``users.track`` where surveys are shown in apps
(https://www.braze.com/docs/partners/iterate). Why, no page says."""


class Verdict(StrEnum):
    """What a check found."""

    OK = "ok"
    PERMISSION_MISSING = "permission_missing"
    KEY_REFUSED = "key_refused"
    NOT_TOLD = "not_told"
    """Braze did not come to look at the permission: it is down, busy, or cannot be reached."""


class Finding(NamedTuple):
    """What a check found, and what to do.

    Attributes:
        permission: Braze's name of what was looked for.
        advice: For people; holds no key and nothing of Braze's data.
    """

    permission: str
    verdict: Verdict
    advice: str

    @property
    def is_good(self) -> bool:
        """Whether nothing has to be done."""
        return self.verdict is Verdict.OK


class MauSeries(Protocol):
    """``BrazeClient.mau_data_series``."""

    def __call__(
        self, request: MauDataSeriesRequest, *, timeout: tuple[float, float] | None = None
    ) -> MauDataSeriesResponse:
        """Ask for a series.

        Raises:
            BrazeError: Braze did not give it.
        """
        ...


def check_in_app_surveys(mau: MauSeries) -> Finding:
    """Whether the key has the permission that Iterate needs for in-app surveys.

    One read of one day's figure, which is thrown away.

    Args:
        mau: Asks Braze.
    """
    try:
        mau(MauDataSeriesRequest(length=1))
    except PermissionDeniedError:
        return Finding(
            MAU_PERMISSION,
            Verdict.PERMISSION_MISSING,
            f"The key lacks {MAU_PERMISSION}. A key's permissions cannot be changed: make a new "
            "one in Braze (Settings > APIs and Identifiers) with users.track and this, then "
            "`bridge secrets set braze`. Surveys by link or e-mail work without it.",
        )
    except AuthenticationError:
        return Finding(
            MAU_PERMISSION,
            Verdict.KEY_REFUSED,
            "Braze refuses the key itself: it is missing, revoked, of another workspace or of "
            "another instance. If other calls work with it, then it is the permission that is "
            "missing: Braze's pages name both answers for that.",
        )
    except RateLimitedError:
        return Finding(
            MAU_PERMISSION,
            Verdict.NOT_TOLD,
            "Braze's hourly limit is spent, so it did not say. Ask again within the hour.",
        )
    except BrazeError as error:
        what = "does not answer" if error.status is None else f"answers {error.status}"
        return Finding(
            MAU_PERMISSION, Verdict.NOT_TOLD, f"Braze {what}, so it did not say. Ask again later."
        )
    return Finding(
        MAU_PERMISSION, Verdict.OK, "In-app surveys may be turned on in Iterate's settings."
    )
