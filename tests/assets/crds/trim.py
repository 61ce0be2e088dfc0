"""Write `schemas.json` from the CustomResourceDefinitions of the tools: `python trim.py FOLDER`.

FOLDER has the files of `SOURCES`, each from its repository at the tag that is named there; all of them are under the
Apache License 2.0, as modelops is. Of each schema those properties are kept whose name is in `WORDS`, wherever they
are, with their types, limits, rules (CEL) and what they require; left out are words for people. What is left out is
refused like what was never there: an export that writes another field needs its name here, and one that no tool has
stays unknown.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
SOURCES = {
    "kserve/kserve v0.20.0": (
        "serving.kserve.io_inferenceservices.yaml 57c3bf13f77d",
        "serving.kserve.io_servingruntimes.yaml 380a3e1e1444",
    ),
    "kserve/kserve v0.15.2": (
        "kserve-v0.15.2/serving.kserve.io_inferenceservices.yaml 43bcb3aef9c6",
        "kserve-v0.15.2/serving.kserve.io_servingruntimes.yaml 361eb7b56c33",
    ),
    "kubernetes-sigs/gateway-api v1.6.1": ("gateway.networking.k8s.io_httproutes.yaml a424a0d6c953",),
    "argoproj/argo-rollouts v1.9.1": (
        "argoproj.io_rollouts.yaml d79c0dab9bb3",
        "argoproj.io_analysistemplates.yaml 96a871705477",
    ),
    "fluxcd/flagger v1.44.0": (
        "flagger.app_canaries.yaml 4e9d5b563af6",
        "flagger.app_metrictemplates.yaml 612f76a74af0",
    ),
    "prometheus-operator/prometheus-operator v0.93.0": (
        "monitoring.coreos.com_podmonitors.yaml 45a93443daa6",
        "monitoring.coreos.com_prometheusrules.yaml 78be98554b9c",
    ),
    "argoproj/argo-cd v3.5.1": (
        "argoproj.io_applications.yaml 5dde0e229249",
        "argoproj.io_applicationsets.yaml 7d282054f41c",
    ),
    "fluxcd/source-controller v1.9.1": (
        "source.toolkit.fluxcd.io_gitrepositories.yaml 39a5a46c8153",
        "source.toolkit.fluxcd.io_ocirepositories.yaml 2655834d468e",
    ),
    "fluxcd/kustomize-controller v1.9.4": ("kustomize.toolkit.fluxcd.io_kustomizations.yaml da23ca0e6b4c",),
    "external-secrets/external-secrets v2.9.0": ("external-secrets.io_externalsecrets.yaml 5044be5a610c",),
}
WORDS = """
    apiVersion kind metadata spec name namespace labels annotations
    containers image args env valueFrom fieldRef fieldPath secretKeyRef key ports containerPort protocol resources
    requests limits startupProbe readinessProbe livenessProbe httpGet path port periodSeconds timeoutSeconds
    failureThreshold securityContext allowPrivilegeEscalation readOnlyRootFilesystem capabilities drop volumeMounts
    mountPath readOnly volumes configMap emptyDir sizeLimit automountServiceAccountToken enableServiceLinks
    topologySpreadConstraints maxSkew topologyKey whenUnsatisfiable labelSelector runAsNonRoot runAsUser runAsGroup
    fsGroup fsGroupChangePolicy seccompProfile
    type terminationGracePeriodSeconds
    supportedModelFormats version autoSelect protocolVersions multiModel predictor minReplicas maxReplicas scaleMetric
    scaleTarget deploymentStrategy rollingUpdate maxSurge maxUnavailable model modelFormat protocolVersion runtime
    parentRefs group sectionName hostnames rules matches value headers backendRefs weight filters requestMirror
    backendRef percent fraction numerator denominator
    replicas selector matchLabels matchExpressions operator values template paused revisionHistoryLimit
    progressDeadlineSeconds progressDeadlineAbort strategy canary stableService canaryService trafficRouting plugins
    steps setWeight pause duration analysis templates templateName dryRun metricName
    metrics count successCondition failureCondition failureLimit inconclusiveLimit provider prometheus address query
    targetRef autoscalerRef service targetPort portDiscovery hosts gatewayRefs skipAnalysis suspend interval threshold
    iterations stepWeights templateRef thresholdRange min max
    podMetricsEndpoints scheme relabelings action targetLabel replacement authorization credentials
    groups rules record alert expr for
    project source repoURL targetRevision directory recurse exclude destination server syncPolicy automated prune
    selfHeal syncOptions ignoreDifferences jsonPointers goTemplate goTemplateOptions generators clusters
    url ref branch tag digest secretRef insecure sourceRef targetNamespace wait ignore paths
    refreshInterval secretStoreRef target creationPolicy deletionPolicy data secretKey remoteRef
""".split()  # noqa: SIM905 - a list of two hundred words
KEPT = ("type", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "required")


def strict(node: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that refuses what the API server would drop without a word, of the properties that are kept."""
    if node.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    found: dict[str, Any] = {key: node[key] for key in KEPT if key in node}
    if "pattern" in found:
        # Elsewhere flags may stand anywhere in a pattern.
        flags = "".join(re.findall(r"\(\?[a-z]+\)", found["pattern"]))
        found["pattern"] = flags + re.sub(r"\(\?[a-z]+\)", "", found["pattern"])
    # Rules over what was there before are for changes, and an export makes none.
    rules = [one["rule"] for one in node.get("x-kubernetes-validations", ()) if "oldSelf" not in one["rule"]]
    if rules:
        found["x-kubernetes-validations"] = rules
    if node.get("nullable") and "type" in found:
        found["type"] = [found["type"], "null"]
    if "items" in node:
        found["items"] = strict(node["items"])
    for key in ("anyOf", "oneOf", "allOf"):
        if key in node:
            found[key] = [{name: each[name] for name in ("required",) if name in each} for each in node[key]]
    if "properties" in node:
        needed = {*node.get("required", ())}
        properties = node["properties"]
        found["properties"] = {
            name: strict(each) for name, each in properties.items() if name in WORDS or name in needed
        }
        if not node.get("x-kubernetes-preserve-unknown-fields"):
            found["additionalProperties"] = False
    elif isinstance(node.get("additionalProperties"), dict):
        found["additionalProperties"] = strict(node["additionalProperties"])
    return found


def kept(folder: Path) -> dict[str, Any]:
    """Return the schemas by what an object says of itself, and of two versions of a tool by the version."""
    found: dict[str, Any] = {}
    for source, files in SOURCES.items():
        for path, digest in (each.split() for each in files):
            data = (folder / path).read_bytes()
            if not hashlib.sha256(data).hexdigest().startswith(digest):
                sys.exit(f"{path} is not that of {source}")
            crd = yaml.load(data, yaml.CSafeLoader)["spec"]
            for version in crd["versions"]:
                if version["storage"]:
                    schema = strict(version["schema"]["openAPIV3Schema"])
                    schema["properties"]["metadata"] = {"type": "object"}
                    name = f"{crd['group']}/{version['name']}/{crd['names']['kind']}"
                    found[name if name not in found else f"{name}@{source.split()[1]}"] = schema
    return found


if __name__ == "__main__":
    schemas = kept(Path(sys.argv[1]))
    lines = (
        f"{json.dumps(name)}:{json.dumps(schema, sort_keys=True, separators=(',', ':'), ensure_ascii=False)}"
        for name, schema in sorted(schemas.items())
    )
    (HERE / "schemas.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
