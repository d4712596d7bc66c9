"""`make deploy`: the build matches the platform, and nothing is called deployed that is not."""

from __future__ import annotations

import json
import sys
import tomllib
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from ops.deployment.account import DeployedStack
from ops.deployment.deploy import (
    Deployer,
    StackName,
    Target,
    UnknownEnvironmentError,
    manages_logging_role,
    parameters_of,
    stack_of,
    target_of,
    verify,
)
from ops.deployment.first_deployment import UnansweredError
from tests.fakes.account import FakeAccount

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SAM = """
import json, os, pathlib, sys
folder = pathlib.Path({folder!r})
call = {{"arguments": sys.argv[1:], "runtime": os.environ.get("PYTHON_RUNTIME"),
        "architecture": os.environ.get("ARCHITECTURE"), "profile": os.environ.get("AWS_PROFILE")}}
with (folder / "calls").open("a") as calls:
    calls.write(json.dumps(call) + chr(10))
sys.exit({code})
"""


class Sam:
    """A `sam` that records its calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "samconfig.toml"

    def command(self, *, code: int = 0) -> list[str]:
        script = self.folder / "sam.py"
        script.write_text(SAM.format(folder=str(self.folder), code=code))
        return [sys.executable, str(script)]

    def calls(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]

    def deploy(
        self,
        overrides: str,
        account: FakeAccount | None = None,
        *,
        code: int = 0,
        asked: Callable[[], Callable[[str], str]] | None = None,
        has_terminal: bool = True,
    ) -> int:
        """Deploy a table with these parameters."""
        self.config.write_text(table(overrides))
        used = FakeAccount() if account is None else account
        deployer = Deployer(
            self.command(code=code),
            lambda _: used,
            asked=never_asked if asked is None else asked,
            has_terminal=has_terminal,
            config=self.config,
        )
        return deployer.deploy("dev")

    def deployment(self) -> list[str]:
        """The arguments of `sam deploy` after those that name the table."""
        _, deployment = self.calls()
        name, *given = deployment["arguments"]
        table = ["--config-file", str(self.config), "--config-env", "dev"]
        assert name == "deploy"
        assert given[: len(table)] == table
        return list(given[len(table) :])


@pytest.fixture
def sam(tmp_path: Path) -> Sam:
    return Sam(tmp_path)


def table(overrides: str) -> str:
    head = '[dev.deploy.parameters]\nstack_name = "bridge"'
    return f"{head}\nparameter_overrides = {overrides}\n"


def never_asked() -> NoReturn:
    raise AssertionError("nothing is missing")


@pytest.mark.parametrize(
    "overrides",
    [
        ["BrazeInstance=EU-01", "AlarmEmail="],
        ["BrazeInstance=EU-01", 'AlarmEmail=""'],
        'BrazeInstance="EU-01" AlarmEmail=""',
        "BrazeInstance=EU-01 AlarmEmail=''",
    ],
    ids=["as people write it", "nothing, as SAM reads it", "as SAM writes it", "in single quotes"],
)
def test_parameters_are_read_as_people_and_as_sam_write_them(overrides: object) -> None:
    """Both forms of a table have the same meaning."""
    config = {"dev": {"deploy": {"parameters": {"parameter_overrides": overrides}}}}

    assert parameters_of(config, "dev") == {"BrazeInstance": "EU-01", "AlarmEmail": ""}


def test_a_table_may_be_empty() -> None:
    """The first deployment of an environment."""
    assert parameters_of({"dev": {"deploy": {"parameters": {}}}}, "dev") == {}
    assert target_of({}) == Target("python3.13", "arm64")


def test_an_unknown_environment_is_named() -> None:
    """A misspelt ENV deploys nothing."""
    with pytest.raises(UnknownEnvironmentError, match="staging"):
        parameters_of({}, "staging")


def test_a_known_environment_is_deployed_without_questions(sam: Sam) -> None:
    """Built for the platform in its table."""
    assert sam.deploy('["BrazeInstance=EU-01", "Architecture=x86_64"]') == 0

    build, _ = sam.calls()
    assert build == {
        "arguments": ["build", "--config-file", str(sam.config), "--config-env", "dev"],
        "runtime": "python3.13",
        "architecture": "x86_64",
        "profile": None,
    }
    # SAM forgets the table's parameters if it gets one on its command line.
    parameters = ["BrazeInstance=EU-01", "Architecture=x86_64", "ManageApiLoggingRole=true"]
    assert sam.deployment() == ["--parameter-overrides", *parameters]


def test_the_first_deployment_asks_and_keeps_the_answers(sam: Sam) -> None:
    """Then it builds and deploys like every later one, without SAM's own questions."""
    answers = iter(["eu-central-1", "EU-01", ""])

    assert sam.deploy('["Architecture=x86_64"]', asked=lambda: lambda _: next(answers)) == 0

    assert sam.calls()[0]["architecture"] == "x86_64"
    assert "BrazeInstance=EU-01" in sam.deployment()
    with sam.config.open("rb") as file:
        kept = tomllib.load(file)
    assert kept["dev"]["deploy"]["parameters"]["region"] == "eu-central-1"
    assert parameters_of(kept, "dev") == {"Architecture": "x86_64", "BrazeInstance": "EU-01"}


def test_nothing_is_deployed_without_an_answer(sam: Sam) -> None:
    """A build server has no terminal: the message says what to write; the file does not change."""

    def no_terminal() -> NoReturn:
        raise UnansweredError("write it yourself")

    assert sam.deploy("[]", asked=no_terminal) == 2

    assert not (sam.folder / "calls").exists()
    assert sam.config.read_text() == table("[]")


KNOWN = '["BrazeInstance=EU-01"]'


def test_a_failed_build_is_not_deployed(sam: Sam) -> None:
    """SAM's code is ours."""
    assert sam.deploy(KNOWN, code=3) == 3

    assert [call["arguments"][0] for call in sam.calls()] == ["build"]


@pytest.mark.parametrize(
    ("account_role", "own_role", "expected"),
    [
        (None, None, True),
        (None, "bridge-ApiLoggingRole-1", True),
        ("arn:aws:iam::123456789012:role/bridge-ApiLoggingRole-1", "bridge-ApiLoggingRole-1", True),
        ("arn:aws:iam::123456789012:role/of-another-team", None, False),
        ("arn:aws:iam::123456789012:role/of-another-team", "bridge-ApiLoggingRole-1", False),
        ("arn:aws:iam::123456789012:role/x-bridge-Role-1", "bridge-Role-1", False),
    ],
    ids=["none", "deleted", "its own", "another's", "replaced by another's", "a longer name"],
)
def test_the_stack_sets_the_account_s_logging_role_only_if_it_is_its_own(
    account_role: str | None,
    own_role: str | None,
    expected: bool,
) -> None:
    """All APIs of the account write logs with that role."""
    assert manages_logging_role(account_role, own_role) is expected


def test_another_owner_s_logging_role_stays(sam: Sam) -> None:
    """The deployment looks before CloudFormation replaces it."""
    assert sam.deploy(KNOWN, FakeAccount(role="arn:aws:iam::123456789012:role/theirs")) == 0

    assert "ManageApiLoggingRole=false" in sam.deployment()


@pytest.mark.parametrize("value", ["true", "false"])
def test_the_table_s_own_choice_of_the_logging_role_counts(sam: Sam, value: str) -> None:
    """Nothing is asked, so that a deployer without the right to ask can deploy."""
    account = FakeAccount(role="arn:aws:iam::123456789012:role/theirs")

    assert sam.deploy(f'["BrazeInstance=EU-01", "ManageApiLoggingRole={value}"]', account) == 0

    assert sam.deployment()[1:] == ["BrazeInstance=EU-01", f"ManageApiLoggingRole={value}"]
    assert "logging_role" not in account.asked


def test_a_declined_change_set_is_not_deployed(
    sam: Sam, capsys: pytest.CaptureFixture[str]
) -> None:
    """SAM ends with 0, and its change set waits. No test response follows, and no stack policy."""
    account = FakeAccount(change_sets=[{"declined last week"}, {"declined last week", "new"}])

    assert sam.deploy(KNOWN, account) == 1

    assert "Not deployed" in capsys.readouterr().out
    assert account.protected == []


def test_a_change_set_that_was_declined_earlier_does_not_count(sam: Sam) -> None:
    """SAM found nothing to change, and deleted its own change set."""
    account = FakeAccount(change_sets=[{"declined last week"}, {"declined last week"}])

    assert sam.deploy(KNOWN, account) == 0


def test_a_failed_deployment_is_sam_s_code(sam: Sam) -> None:
    """The stack's policy is not touched either."""
    account = FakeAccount()
    script = sam.command()[1]
    sam.config.write_text(table(KNOWN))
    failing = f"import sys; sys.exit(4 * (sys.argv[1] == 'deploy')) # {script}"

    code = Deployer(
        [sys.executable, "-c", failing], lambda _: account, never_asked, config=sam.config
    ).deploy("dev")

    assert code == 4
    assert account.protected == []


def test_without_a_terminal_sam_does_not_ask(sam: Sam) -> None:
    """It would end without an answer, so that no build server could deploy to production."""
    assert sam.deploy(KNOWN, has_terminal=False) == 0

    assert sam.deployment()[-1] == "--no-confirm-changeset"


def test_with_a_terminal_sam_asks_as_the_table_says(sam: Sam) -> None:
    """The table [prod] has `confirm_changeset`."""
    assert sam.deploy(KNOWN) == 0

    assert "--no-confirm-changeset" not in sam.deployment()


@pytest.mark.parametrize(
    ("status", "deleted"),
    [(None, []), ("ROLLBACK_COMPLETE", ["bridge"]), ("UPDATE_ROLLBACK_COMPLETE", [])],
)
def test_only_the_empty_stack_of_a_failed_creation_is_deleted(
    sam: Sam, status: str | None, deleted: list[str]
) -> None:
    """CloudFormation cannot update it. Every other stack holds data."""
    account = FakeAccount(found=DeployedStack(status))

    assert sam.deploy(KNOWN, account) == 0

    assert account.deleted == deleted


def test_a_deployed_stack_gets_its_policy(sam: Sam) -> None:
    """Each time, so that a policy that somebody lifted comes back."""
    account = FakeAccount()

    assert sam.deploy(KNOWN, account) == 0

    assert account.protected == ["bridge"]


@pytest.mark.parametrize("code", [0, 1])
def test_a_deployment_ends_with_a_test_response(sam: Sam, code: int) -> None:
    """`bridge verify` on the stack and region of the table; its exit code counts."""
    sam.config.write_text(
        '[dev.deploy.parameters]\nstack_name = "braze-bridge-dev"\nregion = "eu-west-1"\n'
        'profile = "of-the-team"\n'
    )

    assert verify("dev", sam.command(code=code), sam.config) == code

    (call,) = sam.calls()
    assert call["arguments"] == [
        *("verify", "outgrow", "--unless-new"),
        *("--stack", "braze-bridge-dev", "--region", "eu-west-1"),
    ]
    assert call["profile"] == "of-the-team"


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"dev": {"deploy": {"parameters": {"stack_name": "a"}}}}, StackName("a")),
        ({"dev": {"global": {"parameters": {"stack_name": "a"}}}}, StackName("a")),
        ({"default": {"deploy": {"parameters": {"stack_name": "a"}}}}, StackName("a")),
        (
            {"dev": {"deploy": {"parameters": {"stack_name": "a", "region": "r"}}}},
            StackName("a", "r"),
        ),
    ],
)
def test_the_stack_is_found_where_sam_finds_it(config: dict[str, Any], found: StackName) -> None:
    """In the table's own parameters, then in those for all commands or tables."""
    assert stack_of(config, "dev") == found


def test_a_table_without_a_stack_is_an_error() -> None:
    """It verifies no other stack instead."""
    with pytest.raises(UnknownEnvironmentError, match="names no stack"):
        stack_of({"prod": {"deploy": {"parameters": {"stack_name": "a"}}}}, "dev")
