"""The webhook configuration: owns what of it the operator writes, and telling whether the rest still is ours.

The file `manifests/base/webhook.yaml` says what is judged; nobody but an administrator writes that, so here it is only
compared. The operator writes three things: the caBundle, the failure policy and the owner. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mooring.networks import nads

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAME = "mooring"
WEBHOOK = "networks.mooring.dev"

#: cert-manager's own: who has it gets the caBundle from there.
INJECTED = "cert-manager.io/inject-ca-from"

_OPERATIONS = ("CREATE", "UPDATE")
#: What narrows what is asked; the manifests have one condition, and no selectors.
_CONDITION = (
    "request.operation == 'CREATE' || (has(object.spec) != has(oldObject.spec)) "
    "|| (has(object.spec) && object.spec != oldObject.spec) "
    "|| object.metadata.?annotations[?'k8s.v1.cni.cncf.io/resourceName'].orValue('') "
    "!= oldObject.metadata.?annotations[?'k8s.v1.cni.cncf.io/resourceName'].orValue('')"
)
_PATH = "/validate/networkattachmentdefinitions"


def entry(found: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return our webhook of a configuration, None where it is not in it."""
    for each in found.get("webhooks") or []:
        if each.get("name") == WEBHOOK:
            ours: dict[str, Any] = each
            return ours
    return None


def injected(found: Mapping[str, Any] | None) -> bool:
    """Tell whether cert-manager looks after certificate and caBundle."""
    return INJECTED in ((found or {}).get("metadata", {}).get("annotations") or {})


def edited(found: Mapping[str, Any]) -> list[str]:
    """Say where a configuration lets networks pass that the manifests have judged; [] where nowhere."""
    ours = entry(found)
    if ours is None:
        return [f"the webhook {WEBHOOK} is not in it"]
    return [f"{WEBHOOK}: {each}" for each in _edited(ours)]


def _edited(ours: Mapping[str, Any]) -> Iterator[str]:
    for operation in _OPERATIONS:
        if not any(_covers(rule, operation) for rule in ours.get("rules") or []):
            yield f"rules do not name {operation} of {nads.PLURAL}"
    for selector in ("namespaceSelector", "objectSelector"):
        if ours.get(selector):
            yield f"{selector} leaves networks out"
    for each in ours.get("matchConditions") or []:
        if " ".join(str(each.get("expression")).split()) != _CONDITION:
            yield f"matchConditions has {each.get('name')}, which is not as the manifests have it"
    # A URL is how an API server outside of the cluster reaches us.
    service = ours.get("clientConfig", {}).get("service")
    if service is not None and service.get("path") != _PATH:
        yield f"clientConfig.service.path is {service.get('path')}, not {_PATH}"


def _covers(rule: Mapping[str, Any], operation: str) -> bool:
    group, version = nads.API_VERSION.split("/")
    return (
        bool({group, "*"} & set(rule.get("apiGroups") or ()))
        and bool({version, "*"} & set(rule.get("apiVersions") or ()))
        and bool({nads.PLURAL, "*", "*/*"} & set(rule.get("resources") or ()))
        and bool({operation, "*"} & set(rule.get("operations") or ()))
        and rule.get("scope", "*") in ("Namespaced", "*")
    )
