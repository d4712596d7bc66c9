"""The document that API Gateway imports is valid by two parsers.

API Gateway rejects an import that causes warnings (`FailOnWarnings`), and only a deployment shows
that it accepts the document. These parsers find what is not valid OpenAPI before that.
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest
from openapi_spec_validator import OpenAPIV30SpecValidator

from tests.infra.template import Template
from tests.node_packages import node_packages

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["node_packages"]  # a fixture

VALIDATE: Final = """
require("@apidevtools/swagger-parser").validate(process.argv[1]).catch((error) => {
  console.error(error.message);
  process.exit(1);
});
"""


SHAPING: Final[dict[str, tuple[dict[str, str], ...]]] = {
    "ClosesDefaultAddress": ({}, {"DomainName": "bridge.example.com"}),
    "HasAllowedCidrs": ({}, {"AllowedCidrs": "203.0.113.0/24,2001:db8::/32"}),
}
"""The conditions in the document, with parameters for which each is false and true."""


def document_of(template: Template) -> dict[str, Any]:
    """As CloudFormation gives it to API Gateway, with the stack's name in it."""
    body: dict[str, Any] = template.properties("BridgeApi")["Body"]
    return body


@pytest.fixture
def document(template: Template) -> dict[str, Any]:
    return document_of(template)


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    """Every document that a choice of parameters can make."""
    choices = itertools.product(*SHAPING.values())
    return [document_of(Template(**{k: v for c in each for k, v in c.items()})) for each in choices]


def test_only_these_conditions_shape_the_document(template: Template) -> None:
    """Every other parameter leaves it as it is, so the documents below are all there are."""
    body = json.dumps(template.plain["Resources"]["BridgeApi"]["Properties"]["Body"])
    [*conditions] = re.findall(r'"Fn::If": \["(\w+)"', body)

    assert sorted(conditions) == sorted(SHAPING)
    assert {ref for ref in re.findall(r'"Ref": "([^"]+)"', body) if "::" not in ref} == {
        "AllowedCidrs"
    }


def test_each_choice_makes_another_document(documents: list[dict[str, Any]]) -> None:
    """Otherwise the parsers would see less than they seem to."""
    assert len({json.dumps(each) for each in documents}) == len(documents) == 4


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


def test_openapi_spec_validator_accepts_each(documents: list[dict[str, Any]]) -> None:
    """It also checks that every path parameter is declared."""
    assert [python_problems(each) for each in documents] == [[]] * len(documents)


def test_swagger_parser_accepts_each(
    documents: list[dict[str, Any]], node_packages: Path, tmp_path: Path
) -> None:
    """The parser that most Node tools use."""
    for each in documents:
        assert node_problems(node_packages, tmp_path / "api.json", each) == ""


def with_a_server_without_an_address(document: dict[str, Any]) -> None:
    """As SAM writes `DisableExecuteApiEndpoint`."""
    document["servers"] = [{"x-amazon-apigateway-endpoint-configuration": {}}]


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
    "broken",
    [
        without_path_parameters,
        with_type_beside_the_name,
        without_responses,
        with_a_server_without_an_address,
    ],
)
def test_python_s_parser_refuses_the_forms_that_sam_writes(
    document: dict[str, Any], broken: Callable[[dict[str, Any]], None]
) -> None:
    """Negative controls."""
    broken(document)

    assert python_problems(document)


@pytest.mark.parametrize(
    "broken",
    [with_type_beside_the_name, without_responses, with_a_server_without_an_address],
)
def test_node_s_parser_refuses_the_forms_that_sam_writes(
    document: dict[str, Any],
    broken: Callable[[dict[str, Any]], None],
    node_packages: Path,
    tmp_path: Path,
) -> None:
    """Negative controls; this parser does not look for undeclared path parameters."""
    broken(document)

    assert node_problems(node_packages, tmp_path / "api.json", document)
