"""Conditions of our objects' status (metav1.Condition): owns when a transition time changes.

The clock is a parameter; nothing here asks for the time.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Literal

import pydantic

from mooring.installing.models import Model

if TYPE_CHECKING:
    from collections.abc import Iterable

Status = Literal["True", "False", "Unknown"]


class Condition(Model):
    """One condition, as the Kubernetes API conventions define it."""

    type: str = pydantic.Field(max_length=316, description="What it is about, in CamelCase.")
    status: Status = pydantic.Field(description="Whether it is so: True, False or Unknown.")
    reason: str = pydantic.Field(
        pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        max_length=1024,
        description="Why, as one word in CamelCase for programs.",
    )
    message: str = pydantic.Field("", max_length=32768, description="Why, in a sentence for people.")
    last_transition_time: str = pydantic.Field(
        description="When the status last changed from one to another.", json_schema_extra={"format": "date-time"}
    )
    observed_generation: int | None = pydantic.Field(
        None, description="The generation of the spec that it was told of."
    )


def rfc3339(moment: datetime.datetime) -> str:
    """Return a moment as the API server writes it: UTC, whole seconds, with a Z."""
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def updated(
    before: Iterable[dict[str, object]],
    *,
    type: str,  # noqa: A002  # the field's name in Kubernetes
    status: Status,
    reason: str,
    message: str,
    generation: int | None,
    now: datetime.datetime,
) -> Condition:
    """Return a condition; its transition time moves only when its status does.

    Args:
        before: the conditions of the object's status as the API server has them.
        type: the condition's type.
        status: what is so now.
        reason: one word in CamelCase.
        message: for a person.
        generation: the generation of the spec that was looked at.
        now: the time of a transition, if there is one.
    """
    transition = rfc3339(now)
    for condition in before:
        if condition.get("type") == type and condition.get("status") == status:
            transition = str(condition.get("lastTransitionTime") or transition)
    return Condition(
        type=type,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=transition,
        observed_generation=generation,
    )
