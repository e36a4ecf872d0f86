"""What every model of our own API objects shares: owns the base class and its conventions.

Fields are written in Python's case and travel in Kubernetes' (camelCase). Unknown fields are refused: the API
server prunes them anyway, so one that arrives here is a mistake of ours.
"""

from __future__ import annotations

from typing import Any

import pydantic
from pydantic import alias_generators


def rules(*written: tuple[str, str]) -> dict[str, Any]:
    """Return CEL rules, each with what to tell, for `json_schema_extra` of a model or a field.

    A rule that reads `oldSelf` is asked at updates only. What a rule refuses, a validator of the model refuses too,
    with the same words: an object may have come in before the rule.
    """
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in written]}


def rule(written: str, message: str) -> dict[str, Any]:
    """Return one CEL rule."""
    return rules((written, message))


class Model(pydantic.BaseModel):
    """A part of a custom resource, with camelCase names on the wire and nothing unknown in it."""

    model_config = pydantic.ConfigDict(
        alias_generator=alias_generators.to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
    )

    def to_wire(self) -> dict[str, object]:
        """Return the object as the API server takes it: camelCase, absent where None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
