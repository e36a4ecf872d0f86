"""The generated half of the Helm chart: owns how the manifests become templates.

`python -m charts.generate` writes it, `make generate` calls that, and a test compares what is there with what it would
write. Files of `manifests/` stay the one place where an object is written: here they only get the places at which a
value may stand, as text, so that their comments stay. Refuses a manifest in which such a place is not found exactly
once. By hand are the hooks, the notes, `values.yaml` and `_names.tpl`.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import yaml

from mooring.installing import crds

CHECKOUT = Path(__file__).resolve().parent.parent
CHART = CHECKOUT / "charts" / "mooring"
NAMESPACE = "mooring-system"

#: Of the base, all but the Namespace: a release is in one before its first object.
BASE = (
    "service-accounts",
    "operator-rbac",
    "operator-adoption-rbac",
    "operator-eviction-rbac",
    "operator-policies",
    "agent-rbac",
    "agent-policies",
    "operator",
    "webhook",
)

_HEADER = "{{- /* Generated from %s by `make generate`. */ -}}\n"
_PLAIN_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")

_PULL_SECRETS = """\
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- toYaml . | nindent 0 }}
{{- end }}
"""

#: By file, what becomes what; `{version}` is the version of all.
_PLACES: dict[str, tuple[tuple[str, str], ...]] = {
    "service-accounts": tuple(
        (
            f"  name: {account}\n  namespace: {NAMESPACE}\n",
            f"  name: {account}\n  namespace: {NAMESPACE}\n{_PULL_SECRETS}",
        )
        for account in ("mooring-operator", "mooring-agent")
    ),
    "operator": (
        ("  replicas: 2\n", "  replicas: {{ .Values.operator.replicas }}\n"),
        (
            "    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}\n",
            "    # On their nodes' own ports no two fit on one node.\n"
            "    rollingUpdate: {{ if .Values.operator.hostNetwork.enabled }}{maxUnavailable: 1, maxSurge: 0}"
            "{{ else }}{maxUnavailable: 0, maxSurge: 1}{{ end }}\n",
        ),
        (
            "      serviceAccountName: mooring-operator\n",
            "      serviceAccountName: mooring-operator\n"
            "      {{- if .Values.operator.hostNetwork.enabled }}\n"
            "      hostNetwork: true\n"
            "      dnsPolicy: ClusterFirstWithHostNet\n"
            "      {{- end }}\n",
        ),
        (
            "      tolerations:\n"
            "      - {key: node-role.kubernetes.io/control-plane, operator: Exists, effect: NoSchedule}\n",
            "      {{- with .Values.operator.nodeSelector }}\n"
            "      nodeSelector:\n"
            "      {{- toYaml . | nindent 8 }}\n"
            "      {{- end }}\n"
            "      {{- with .Values.operator.tolerations }}\n"
            "      tolerations:\n"
            "      {{- toYaml . | nindent 6 }}\n"
            "      {{- end }}\n",
        ),
        ("image: mooring.dev/mooring:{version}\n", 'image: {{ include "mooring.image" . | quote }}\n'),
        ("imagePullPolicy: IfNotPresent\n", "imagePullPolicy: {{ .Values.image.pullPolicy }}\n"),
        (
            "        args: [operator]\n",
            "        {{- with .Values.operator.hostNetwork }}\n"
            "        args: [operator{{ if .enabled }}, --webhook-port={{ .webhookPort }}, "
            "--health-port={{ .healthPort }}{{ end }}]\n"
            "        {{- end }}\n",
        ),
        (
            "        - {name: webhook, containerPort: 9443}\n        - {name: health, containerPort: 8080}\n",
            "        {{- with .Values.operator.hostNetwork }}\n"
            "        {{- if .enabled }}\n"
            "        - {name: webhook, protocol: TCP,"
            " containerPort: {{ .webhookPort }}, hostPort: {{ .webhookPort }}}\n"
            "        - {name: health, protocol: TCP, containerPort: {{ .healthPort }}, hostPort: {{ .healthPort }}}\n"
            "        {{- else }}\n"
            "        - {name: webhook, containerPort: 9443}\n"
            "        - {name: health, containerPort: 8080}\n"
            "        {{- end }}\n"
            "        {{- end }}\n",
        ),
        (
            "        resources:\n          requests: {cpu: 50m, memory: 128Mi}\n          limits: {memory: 512Mi}\n",
            "        resources:\n        {{- toYaml .Values.operator.resources | nindent 10 }}\n",
        ),
    ),
    "webhook": (
        (
            "  labels: {app.kubernetes.io/name: mooring}\nwebhooks:\n",
            "  labels: {app.kubernetes.io/name: mooring}\n"
            "  {{- if .Values.certManager.enabled }}\n"
            "  annotations:\n"
            "    cert-manager.io/inject-ca-from: {{ .Release.Namespace }}/mooring-webhook\n"
            "  {{- end }}\n"
            "webhooks:\n",
        ),
    ),
    "certificate": (
        (f"  - mooring-webhook.{NAMESPACE}.svc\n", "  - mooring-webhook.{{ .Release.Namespace }}.svc\n"),
        (
            f"  - mooring-webhook.{NAMESPACE}.svc.cluster.local\n",
            "  - mooring-webhook.{{ .Release.Namespace }}.svc.cluster.local\n",
        ),
    ),
}


def version(pyproject: str) -> str:
    """Return the version that pyproject.toml has: the chart's and the image's.

    Raises:
        ValueError: it is one that Python and Helm would write differently.
    """
    found = str(tomllib.loads(pyproject)["project"]["version"])
    if not _PLAIN_VERSION.fullmatch(found):
        raise ValueError(f"version {found}: write one like 0.2.0, which is the same for Python and for Helm")
    return found


def template(name: str, text: str, *, source: str, release: str) -> str:
    """Return the template that a file of the manifests becomes.

    Raises:
        ValueError: a place of a value is not in it exactly once, or something there would be read as a template.
    """
    if "{{" in text:
        raise ValueError(f"{source}: two opening braces would be read as a template")
    for old, new in _PLACES.get(name, ()):
        wanted = old.replace("{version}", release)
        if text.count(wanted) != 1:
            raise ValueError(f"{source}: {text.count(wanted)} times, and not once: {wanted!r}")
        text = text.replace(wanted, new)
    text = text.replace(f"namespace: {NAMESPACE}\n", "namespace: {{ .Release.Namespace | quote }}\n")
    if NAMESPACE in text:
        raise ValueError(f"{source}: {NAMESPACE} stands where no other namespace could")
    return _HEADER % source + text


def definition(text: str, *, source: str) -> str:
    """Return the template of a CustomResourceDefinition, which stays when the release goes.

    Raises:
        ValueError: it is not one as `make generate` writes them.
    """
    if "{{" in text or text.count("\nmetadata:\n") != 1:
        raise ValueError(f"{source}: no definition, or two opening braces in it")
    kept = "\nmetadata:\n  annotations:\n    helm.sh/resource-policy: keep\n"
    return _HEADER % source + text.replace("\nmetadata:\n", kept)


def chart(release: str) -> str:
    """Return Chart.yaml."""
    return (
        "# Generated by `make generate`; both versions are pyproject.toml's.\n"
        "apiVersion: v2\n"
        "name: mooring\n"
        "description: More than one network for Kubernetes pods, safe to run\n"
        "type: application\n"
        f"version: {release}\n"
        f'appVersion: "{release}"\n'
        'kubeVersion: ">=1.33.0-0"\n'
        "keywords: [cni, multus, networking]\n"
        "annotations:\n"
        "  artifacthub.io/license: Apache-2.0\n"
    )


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a structural schema of the API server as a JSON Schema that refuses what it does not name."""
    made = {key: value for key, value in schema.items() if not key.startswith("x-kubernetes-") and key != "default"}
    if schema.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    if "properties" in schema:
        made["properties"] = {name: strict(each) for name, each in schema["properties"].items()}
        made.setdefault("additionalProperties", False)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            made[key] = strict(schema[key])
    return made


def values_schema() -> str:
    """Return values.schema.json; the Installation's part of it is the definition's own."""
    root = crds.definitions()["installations.yaml"]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    quantities = {"type": "object", "additionalProperties": {"type": ["string", "number"]}}
    port = {"type": "integer", "minimum": 1, "maximum": 65535}

    def of(required: list[str], **properties: Any) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}

    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart mooring",
        **of(
            ["image", "operator", "certManager", "installation", "uninstall"],
            image=of(
                ["repository", "pullPolicy"],
                repository={"type": "string", "minLength": 1},
                tag={"type": "string"},
                digest={"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
                pullPolicy={"enum": ["Always", "IfNotPresent", "Never"]},
                pullSecrets={
                    "type": "array",
                    "items": of(["name"], name={"type": "string", "minLength": 1}),
                },
            ),
            operator=of(
                ["replicas", "hostNetwork"],
                replicas={"type": "integer", "minimum": 1},
                resources=of(
                    [], requests=quantities, limits=quantities, claims={"type": "array", "items": {"type": "object"}}
                ),
                nodeSelector={"type": "object", "additionalProperties": {"type": "string"}},
                tolerations={"type": "array", "items": {"type": "object"}},
                hostNetwork=of(
                    ["enabled", "webhookPort", "healthPort"],
                    enabled={"type": "boolean"},
                    webhookPort=port,
                    healthPort=port,
                ),
            ),
            certManager=of(["enabled"], enabled={"type": "boolean"}),
            installation=of(["create"], create={"type": "boolean"}, spec=strict(root["properties"]["spec"])),
            uninstall=of(["timeoutSeconds"], timeoutSeconds={"type": "integer", "minimum": 1}),
            # Helm's own: what a chart that has this one below it may set.
            **{"global": {"type": "object"}},
        ),
    }
    return json.dumps(schema, indent=1) + "\n"


def rendered(checkout: Path = CHECKOUT) -> dict[str, str]:
    """Return the text of every generated file, by its path in the chart."""
    release = version((checkout / "pyproject.toml").read_text())
    made = {"Chart.yaml": chart(release), "values.schema.json": values_schema()}
    for name in BASE:
        source = f"manifests/base/{name}.yaml"
        made[f"templates/{name}.yaml"] = template(name, (checkout / source).read_text(), source=source, release=release)
    source = "manifests/cert-manager/certificate.yaml"
    text = template("certificate", (checkout / source).read_text(), source=source, release=release)
    made["templates/certificate.yaml"] = "{{- if .Values.certManager.enabled }}\n" + text + "{{- end }}\n"
    for file in yaml.safe_load((checkout / "crds/kustomization.yaml").read_text())["resources"]:
        source = f"crds/{file}"
        made[f"templates/crds/{file}"] = definition((checkout / source).read_text(), source=source)
    return made


def main() -> int:
    """Write the files."""
    for path, text in rendered().items():
        target = CHART / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
