"""JSON schemas of models, as the document shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema, models_json_schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel
    from pydantic.json_schema import JsonSchemaMode, JsonSchemaValue
    from pydantic_core import core_schema


class _Documented(GenerateJsonSchema):
    """Schemas without titles and defaults; an answer leaves out what the model has as ``None``."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - its signature
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        is_answer = self.mode == "serialization"
        return (
            self.generate_inner(schema["schema"]) if is_answer else super().nullable_schema(schema)
        )


def components(models: Iterable[type[BaseModel]], mode: JsonSchemaMode) -> dict[str, Any]:
    """Make the schemas of models and of the types inside them, by name.

    Args:
        mode: ``validation`` for bodies, ``serialization`` for answers.
    """
    found: dict[str, Any] = models_json_schema(
        [(model, mode) for model in models],
        ref_template="#/components/schemas/{model}",
        schema_generator=_Documented,
    )[1]["$defs"]
    for schema in found.values():
        schema.pop("title", None)
        if "description" in schema:  # the docstring: its first paragraph is enough
            schema["description"] = schema["description"].partition("\n\n")[0].replace("\n", " ")
    return found
