"""The document that API Gateway imports is valid by two parsers.

API Gateway rejects an import that causes warnings (`FailOnWarnings`), and only a deployment shows
that it accepts the document. These parsers find what is not valid OpenAPI before that.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest
from openapi_spec_validator import OpenAPIV30SpecValidator

from tests.node_packages import node_packages

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.infra.template import Template

__all__ = ["node_packages"]  # a fixture

VALIDATE: Final = """
require("@apidevtools/swagger-parser").validate(process.argv[1]).catch((error) => {
  console.error(error.message);
  process.exit(1);
});
"""


@pytest.fixture
def document(template: Template) -> dict[str, Any]:
    """As CloudFormation gives it to API Gateway, with the stack's name in it."""
    body: dict[str, Any] = template.properties("BridgeApi")["Body"]
    return body


def python_problems(document: dict[str, Any]) -> list[str]:
    return [str(error.message) for error in OpenAPIV30SpecValidator(document).iter_errors()]


def node_problems(folder: Path, file: Path, document: dict[str, Any]) -> str:
    file.write_text(json.dumps(document), encoding="utf-8")
    done = subprocess.run(  # noqa: S603 - our own file
        ["node", "-e", VALIDATE, str(file)],  # noqa: S607 - of the machine
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stderr if done.returncode else ""


def test_openapi_spec_validator_accepts_it(document: dict[str, Any]) -> None:
    """It also checks that every path parameter is declared."""
    assert python_problems(document) == []


def test_swagger_parser_accepts_it(
    document: dict[str, Any], node_packages: Path, tmp_path: Path
) -> None:
    """The parser that most Node tools use."""
    assert node_problems(node_packages, tmp_path / "api.json", document) == ""


def without_path_parameters(document: dict[str, Any]) -> None:
    """As SAM writes a document by itself from the functions' events."""
    for item in document["paths"].values():
        for operation in item.values():
            operation.pop("parameters", None)


def with_type_beside_the_name(document: dict[str, Any]) -> None:
    """A path parameter in the form of Swagger 2.0."""
    (parameter,) = document["paths"]["/outgrow/{content_id}"]["post"]["parameters"]
    parameter |= parameter.pop("schema")


def without_responses(document: dict[str, Any]) -> None:
    """As SAM writes every operation."""
    document["paths"]["/outgrow"]["post"]["responses"] = {}


@pytest.mark.parametrize(
    "broken", [without_path_parameters, with_type_beside_the_name, without_responses]
)
def test_python_s_parser_refuses_the_forms_that_sam_writes(
    document: dict[str, Any], broken: Callable[[dict[str, Any]], None]
) -> None:
    """Negative controls."""
    broken(document)

    assert python_problems(document)


@pytest.mark.parametrize("broken", [with_type_beside_the_name, without_responses])
def test_node_s_parser_refuses_the_forms_that_sam_writes(
    document: dict[str, Any],
    broken: Callable[[dict[str, Any]], None],
    node_packages: Path,
    tmp_path: Path,
) -> None:
    """Negative controls; this parser does not look for undeclared path parameters."""
    broken(document)

    assert node_problems(node_packages, tmp_path / "api.json", document)
