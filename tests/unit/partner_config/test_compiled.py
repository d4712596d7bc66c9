"""What the build makes of the partners' files, and what a function loads."""

from __future__ import annotations

import pathlib
import pickle
import subprocess
import sys

import pytest

from braze_bridge.partner_config.compiled import load_compiled
from braze_bridge.partner_config.iterate import IterateConfig
from braze_bridge.partner_config.outgrow import OutgrowConfig
from braze_bridge.partner_config.problems import ConfigError
from braze_bridge.partner_config.quikly import QuiklyConfig
from braze_bridge.partner_config.toml_files import (
    compile_partner_config,
    load_iterate,
    load_outgrow,
    load_quikly,
)
from tests.fakes.compiled_config import SHIPPED, compiled_config

ROOT = pathlib.Path(__file__).parents[3]
PATHS = [str(ROOT / "functions"), str(ROOT / "layers" / "braze_bridge" / "python")]
APPS = (
    "outgrow_ingest.app",
    "iterate_responses.app",
    "quikly_events.app",
    "quikly_webhook.app",
    "quikly_webhook.sweep",
    "quikly_acquisition.api",
    "quikly_acquisition.worker",
)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, *arguments],
        env={"PYTHONPATH": ":".join(PATHS), "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_compiled_form_is_the_checked_one() -> None:
    """Nothing is lost on the way, rules of Braze's own fields included."""
    folder = compiled_config()

    outgrow = load_compiled(folder, "outgrow", OutgrowConfig)
    assert repr(outgrow.default.attributes) == repr(load_outgrow(SHIPPED).default.attributes)
    iterate = load_compiled(folder, "iterate", IterateConfig)
    assert repr(iterate.default.person) == repr(load_iterate(SHIPPED).default.person)
    quikly = load_compiled(folder, "quikly", QuiklyConfig)
    assert quikly.activations == load_quikly(SHIPPED).activations
    assert quikly.acquisitions == load_quikly(SHIPPED).acquisitions


def test_a_loaded_path_finds_what_it_found(tmp_path: pathlib.Path) -> None:
    """Expressions and checks of standard fields work after loading."""
    text = (SHIPPED / "outgrow.toml").read_text(encoding="utf-8")
    for file in ("iterate.toml", "quikly.toml"):
        (tmp_path / file).write_text((SHIPPED / file).read_text(encoding="utf-8"))
    fields = 'country = { from = ["land"], type = "string" }\noutgrow_quiz_score ='
    (tmp_path / "outgrow.toml").write_text(text.replace("outgrow_quiz_score =", fields, 1))
    compile_partner_config(tmp_path, tmp_path / "made")

    rule = load_compiled(tmp_path / "made", "outgrow", OutgrowConfig).default.attributes[0]

    assert rule.paths[0].find({"land": "de"}) == "de"
    assert (rule.convert("de"), rule.convert("Atlantis")) == ("DE", "not_allowed")


def test_the_command_writes_the_same_bytes_every_time(tmp_path: pathlib.Path) -> None:
    """A build without a change makes no new version of the layer."""
    for name in ("one", "two"):
        module = "braze_bridge.partner_config.toml_files"
        assert run("-m", module, str(SHIPPED), str(tmp_path / name)).returncode == 0

    one, two = ({f.name: f.read_bytes() for f in (tmp_path / n).iterdir()} for n in ("one", "two"))
    assert one == two
    assert one.keys() == {"outgrow.pickle", "iterate.pickle", "quikly.pickle"}


def test_a_mistake_ends_the_command_and_nothing_is_written(tmp_path: pathlib.Path) -> None:
    """One line a problem, of every file."""
    (tmp_path / "outgrow.toml").write_text("schema_version = 2", encoding="utf-8")

    ended = run(
        "-m", "braze_bridge.partner_config.toml_files", str(tmp_path), str(tmp_path / "made")
    )

    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        "iterate.toml: cannot be read (FileNotFoundError)",
        "outgrow.toml: schema_version: must be 1",
        "outgrow.toml: default: is missing",
        "quikly.toml: cannot be read (FileNotFoundError)",
    ]
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is missing: functions load what `sam build` compiles of outgrow.toml"),
        (b"not a pickle", "cannot be loaded (UnpicklingError)"),
        (b"cbraze_bridge.gone\nRule\n.", "cannot be loaded (ModuleNotFoundError)"),
        (pickle.dumps({}), "holds no OutgrowConfig"),
    ],
)
def test_what_cannot_be_loaded_says_why(
    tmp_path: pathlib.Path, content: bytes | None, words: str
) -> None:
    """Raw TOML, a damaged file, or one of another version."""
    (tmp_path / "outgrow.toml").write_text("schema_version = 1", encoding="utf-8")
    if content is not None:
        (tmp_path / "outgrow.pickle").write_bytes(content)

    with pytest.raises(ConfigError) as raised:
        load_compiled(tmp_path, "outgrow", OutgrowConfig)

    assert str(raised.value).startswith(f"outgrow.pickle: {words}")


def test_no_function_imports_the_models() -> None:
    """They take longer to import than everything a function does with its configuration."""
    code = f"import importlib, sys\nfor app in {APPS}: importlib.import_module(app)\n"

    ended = run("-c", code + "print([m for m in sys.modules if 'partner_config.t' in m])")

    assert (ended.stdout.strip(), ended.returncode) == ("[]", 0), ended.stderr
