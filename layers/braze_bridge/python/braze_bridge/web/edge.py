"""The outer layer of a function behind the API: it answers the caller whatever happens inside.

It is the only code with a broad ``except``. Without it, API Gateway would answer 502 by itself,
with no ``Retry-After`` to make the sender try again.
"""

from __future__ import annotations

import functools
from http import HTTPStatus
from typing import TYPE_CHECKING

from braze_bridge.observability import described, flush_metrics, logger
from braze_bridge.partner_config.problems import ConfigError
from braze_bridge.settings import SettingsError
from braze_bridge.web.door import DoorError, correlation_id, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools import Logger

    from braze_bridge.web.door import ProxyResponse

    Answering = Callable[[object], ProxyResponse]
    LambdaHandler = Callable[[object, object], ProxyResponse]


def lambda_handler_of(
    compose: Callable[[], Answering],
    *,
    log: Callable[[], Logger] = logger,
    flush: Callable[[], None] = flush_metrics,
) -> LambdaHandler:
    """Make a Lambda handler.

    Args:
        compose: Reads settings and configuration, opens clients, and returns what answers an
            event. It runs on the first call, and its result is kept. While it fails, every call is
            answered 503 and runs it again.

    Returns:
        A handler that never raises.
    """
    composed = functools.cache(compose)

    def answered(event: object) -> ProxyResponse:
        try:
            return composed()(event)
        except DoorError as refused:
            is_fault = refused.status >= HTTPStatus.INTERNAL_SERVER_ERROR
            (log().warning if is_fault else log().info)(
                "refused",
                status=refused.status.value,
                codes=[reason.code for reason in refused.reasons],
                correlation_id=correlation_id(event),
            )
            return refused.response()
        except ConfigError as error:
            log().critical(
                "partner configuration refused",
                problems=[str(problem) for problem in error.problems],
            )
        except SettingsError as error:
            log().critical("settings refused", error=str(error))
        return unavailable("unavailable", "not ready; send it again").response()

    def handle(event: object, _context: object) -> ProxyResponse:
        try:
            response = answered(event)
            flush()
        except Exception as error:  # noqa: BLE001 - see the module's docstring
            log().error(
                "unexpected error", extra=described(error), correlation_id=correlation_id(event)
            )
            return unavailable("unavailable", "something went wrong; send it again").response()
        return response

    return handle
