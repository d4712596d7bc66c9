"""Makes calls with PyPI's `edx-braze-client`, unmodified, as `braze_api.cjs` does.

A process of its own: the client is a package `braze`, as `braze-client-sdk` is.
"""

import json
import sys

from braze.client import BrazeClient  # type: ignore[import-untyped]  # as braze-client-sdk
from braze.exceptions import BrazeClientError  # type: ignore[import-untyped]  # as braze-client-sdk


def main() -> None:
    """Read the calls, and write what each one returned or raised."""
    url, key = sys.argv[1:]
    client = BrazeClient(api_key=key, api_url=url, app_id="app")
    outcomes = []
    for method, arguments in json.load(sys.stdin):
        try:
            outcomes.append({"answer": getattr(client, method)(**arguments)})
        except BrazeClientError as error:
            outcomes.append({"error": f"{type(error).__name__}: {error}"})
    json.dump(outcomes, sys.stdout)


if __name__ == "__main__":
    main()
