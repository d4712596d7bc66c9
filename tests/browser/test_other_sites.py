"""A web page of another site tries the servers of a running stack from the user's browser.

The page knows even the stack's key. Each call is one that takes effect if a program makes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
import requests
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.fakes.loopback_server import LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.stack.stack_file import StackFile
    from tests.browser.screen import Screen
    from tests.fakes.loopback_server import Connection

pytestmark = pytest.mark.e2e

TRUST: Final = '{"Version":"2012-10-17","Statement":[]}'

FETCH: Final = """
    const [url, options, done] = arguments;
    fetch(url, options).then(
        async (answer) => done(`${answer.type} ${answer.status} ${await answer.text()}`),
        (error) => done(`blocked ${error}`),
    );
"""
LOAD: Final = """
    const [kind, url, done] = arguments;
    const element = document.createElement(kind);
    element.onload = element.onerror = () => done();
    element.src = url;
    document.body.append(element);
"""
SUBMIT: Final = """
    const form = document.createElement("form");
    form.method = "post";
    form.action = arguments[0];
    document.body.append(form);
    form.submit();
"""


def home_page(connection: Connection) -> None:
    connection.answer(200, b"<title>Another site</title>", Content_Type="text/html")


@pytest.fixture(scope="module", params=["http://evil.example", "http://127.0.0.1"])
def site(request: pytest.FixtureRequest) -> Iterator[str]:
    """Another site, and another port of this machine, which browsers call the same site."""
    with LoopbackServer(home_page) as server:
        yield f"{request.param}:{server.url.rpartition(':')[2]}/"


@pytest.fixture
def page(screen: Screen, site: str) -> Screen:
    screen.driver.get(site)
    screen.expect_complaints("blocked", "403", "CORS", "Failed to load", "ERR_")
    return screen


def create_role(stack: StackFile, name: str) -> str:
    """Return the whole call as an address, with the signature in its query."""
    query = {
        "Action": "CreateRole",
        "Version": "2010-05-08",
        "RoleName": name,
        "AssumeRolePolicyDocument": TRUST,
    }
    call = AWSRequest("POST", f"{stack.aws_endpoint_url}/", params=query)
    key = Credentials(stack.access_key_id, stack.secret_access_key)
    SigV4QueryAuth(key, "iam", stack.region).add_auth(call)
    return str(call.prepare().url)


def roles(stack: StackFile) -> set[str]:
    iam: Any = stack.session().client("iam", **stack.client_options())
    pages = iam.get_paginator("list_roles").paginate()
    return {role["RoleName"] for page in pages for role in page["Roles"]}


def test_a_program_may_make_the_call(stack: StackFile) -> None:
    """Negative control: the same address works without a browser."""
    answer = requests.post(create_role(stack, "by-a-program"), timeout=30)

    assert answer.status_code == 200
    assert "by-a-program" in roles(stack)


@pytest.mark.parametrize("mode", ["no-cors", "cors"])
def test_no_page_creates_anything_in_the_engine(page: Screen, stack: StackFile, mode: str) -> None:
    """A simple POST needs no preflight: the browser sends it, and hides the answer at most."""
    before = roles(stack)

    said = page.driver.execute_async_script(
        FETCH, create_role(stack, f"by-{mode}"), {"method": "POST", "mode": mode}
    )

    assert said.startswith(("opaque", "blocked"))
    assert roles(stack) == before


@pytest.mark.parametrize("kind", ["img", "script", "iframe"])
def test_no_element_of_a_page_calls_the_engine(page: Screen, stack: StackFile, kind: str) -> None:
    """These send no `Origin`; the browser says in `Sec-Fetch-Site` where they come from."""
    before = roles(stack)

    page.driver.execute_async_script(LOAD, kind, create_role(stack, f"by-{kind}"))

    assert roles(stack) == before


def test_no_form_of_a_page_calls_the_engine(page: Screen, stack: StackFile) -> None:
    """The browser shows the refusal."""
    before = roles(stack)

    page.run(SUBMIT, create_role(stack, "by-form"))
    page.until(lambda: "no web page" in page.text("body"))

    assert roles(stack) == before


def test_no_page_wipes_the_stack_or_opens_a_socket(page: Screen, stack: StackFile) -> None:
    """The engine's own controls need no signature, and a WebSocket no preflight."""
    before = roles(stack)
    for path in ("reset", "config"):
        page.driver.execute_async_script(
            FETCH,
            f"{stack.aws_endpoint_url}/_ministack/{path}",
            {"method": "POST", "mode": "no-cors", "body": "{}"},
        )
    opened = page.driver.execute_async_script(
        "const [url, done] = arguments; const socket = new WebSocket(url);"
        "socket.onopen = () => done(true); socket.onerror = () => done(false);",
        stack.api_url.replace("http:", "ws:") + "/outgrow",
    )

    assert not opened
    assert roles(stack) == before


def test_a_name_that_leads_to_this_machine_reads_nothing(page: Screen, stack: StackFile) -> None:
    """DNS rebinding: for the browser the engine then is the page's own site."""
    port = stack.aws_endpoint_url.rpartition(":")[2]
    page.driver.get(f"http://rebound.example:{port}/_ministack/health")
    url = create_role(stack, "by-rebinding").replace("127.0.0.1", "rebound.example")
    said = page.driver.execute_async_script(FETCH, url, {"method": "POST"})

    assert "Host" in page.text("body")
    assert said.startswith("basic 403")
    assert "by-rebinding" not in roles(stack)


def test_no_page_posts_an_answer_or_uses_the_stand_in(page: Screen, stack: StackFile) -> None:
    """The API of the bridge, the control routes and Braze itself."""
    for url in (
        f"{stack.api_url}/outgrow?token={stack.tokens['outgrow']}",
        f"{stack.braze_url}/_sandbox/reset",
        f"{stack.braze_url}/_sandbox/faults",
        f"{stack.braze_url}/users/track",
    ):
        said = page.driver.execute_async_script(
            FETCH, url, {"method": "POST", "mode": "no-cors", "body": "{}"}
        )
        assert said.startswith(("opaque", "blocked"))
        answer = requests.post(url, headers={"Origin": "http://evil.example"}, timeout=30)
        assert answer.status_code == 403
    page.driver.get(f"http://rebound.example:{stack.braze_url.rpartition(':')[2]}/_sandbox/")
    assert "Host" in page.text("body")
