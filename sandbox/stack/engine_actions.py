"""Rights that only the local engine needs, added to a built template before it is deployed.

IAM authorises a batch call by the action of its parts. The engine (ministack 1.5.33) asks for the
batch call's own name, which IAM does not know. So `template.yaml` does not have these names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from pathlib import Path

_BATCH_ACTIONS: Final = {
    "sqs:SendMessage": "sqs:SendMessageBatch",
    "sqs:ChangeMessageVisibility": "sqs:ChangeMessageVisibilityBatch",
}

_PARTIQL: Final = "dynamodb:PartiQLInsert"
_PARTIQL_BATCH: Final = {
    "Sid": "BatchPartiQL",
    "Effect": "Allow",
    "Action": "dynamodb:BatchExecuteStatement",
    "Resource": "*",  # the engine does not read the table's name out of the statements
}


def add_engine_actions(template: Path) -> None:
    """Rewrite a template that `sam build` made, so it has no short forms such as `!Ref`."""
    content = yaml.safe_load(template.read_text(encoding="utf-8"))
    for resource in content["Resources"].values():
        if resource.get("Type") == "AWS::IAM::Role":
            for policy in resource["Properties"].get("Policies", []):
                document = policy["PolicyDocument"]
                document["Statement"] = with_engine_actions(document["Statement"])
    template.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def with_engine_actions(statements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a policy's statements with the engine's action names beside those of IAM."""
    widened = []
    for statement in statements:
        action = statement.get("Action", [])  # none: a statement under Fn::If
        actions = [action] if isinstance(action, str) else action
        more = [_BATCH_ACTIONS[each] for each in actions if each in _BATCH_ACTIONS]
        widened.append(statement | {"Action": actions + more} if more else statement)
        if _PARTIQL in actions:
            widened.append(_PARTIQL_BATCH)
    return widened
