#!/usr/bin/env python3
"""Renders deploy/helm/chat and compares it, object by object, with what the kustomizations make: compare.py CHART FOLDER.

FOLDER has what kustomize built. Left out of the comparison is what
each tool does in its own way: namespaces, hashes in names against checksums in annotations, and hooks.
"""
import pathlib, re, sys

import helm_python as helm
import yaml

CHART, BUILT = sys.argv[1], pathlib.Path(sys.argv[2])
OWN = ("checksum/", "helm.sh/")
FRONTS = {"gateway-api": {"httpRoute": {"enabled": True}}, "ingress": {"ingress": {"enabled": True}}}
OWN_POD = {
    "podLabels": {"team": "chat"},
    "extraEnv": [{"name": "REDIS_TLS_CA", "value": "/ca/ca.crt"}],
    "extraVolumes": [{"name": "ca", "secret": {"secretName": "redis-ca"}}],
    "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca", "readOnly": True}],
}
failures = 0


def fail(*what):
    global failures
    failures += 1
    print("FAILED ", *what)


def stripped(value):
    """Without what the tools do differently, and with hashes cut off names."""
    if isinstance(value, dict):
        value = {key: stripped(inner) for key, inner in value.items()}
        for annotations in [value.get("annotations")] if isinstance(value.get("annotations"), dict) else []:
            for name in [name for name in annotations if name.startswith(OWN)]:
                del annotations[name]
            if not annotations:
                del value["annotations"]
        return value
    if isinstance(value, list):
        return [stripped(inner) for inner in value]
    if isinstance(value, str):
        return re.sub(r"^(chat-settings|nginx-config|chat-dashboard|backup-script)-[0-9a-z]{10}$", r"\1", value)
    return value


def by_name(texts):
    objects = {}
    for text in texts:
        for item in yaml.safe_load_all(text):
            if not item or item["kind"] == "Namespace":
                continue
            item["metadata"].pop("namespace", None)
            item = stripped(item)
            for pod in [item.get("spec", {}).get("template", {}).get("spec")] if isinstance(item.get("spec"), dict) else []:
                # The order of these has no meaning.
                for container in (pod or {}).get("containers", []):
                    container.get("env", []).sort(key=lambda variable: variable["name"])
            name = (item["kind"], item["metadata"]["name"])
            if name in objects:
                fail(name, "is there twice")
            objects[name] = item
    return objects


def differences(path, ours, theirs):
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            yield from differences(f"{path}/{key}", ours.get(key), theirs.get(key))
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, pair in enumerate(zip(ours, theirs)):
            yield from differences(f"{path}/{index}", *pair)
    elif isinstance(ours, str) and isinstance(theirs, str):
        if ours.rstrip("\n") != theirs.rstrip("\n"):
            yield f"{path}: {ours[:200]!r} in the chart, {theirs[:200]!r} in kustomize"
    elif ours != theirs:
        yield f"{path}: {str(ours)[:200]} in the chart, {str(theirs)[:200]} in kustomize"


def render(values):
    with helm.Chart.load(CHART) as chart:
        chart.validate_schema(values)
        rendered = chart.render(values, name="chat", namespace="chat")
    return by_name(text for name, text in sorted(rendered.items()) if name.endswith(".yaml"))


def compare(what, values, files):
    chart, built = render(values), by_name((BUILT / f"{name}.yaml").read_text() for name in files)
    before = failures
    for name in sorted(chart.keys() | built.keys()):
        if name not in chart or name not in built:
            fail(what, *name, "is only in", "the chart" if name in chart else "kustomize")
            continue
        for difference in differences("", chart[name], built[name]):
            fail(what, *name, difference)
    if failures == before:
        print(f"ok      {what}: {len(chart)} objects are the same")


for finding in (helm.lint(CHART) or {}).get("messages", []):
    # Level 1 is advice, such as to add an icon.
    if finding["severity"] > 1:
        fail("lint", finding["path"], finding["error"])
compare("production", {}, ["production", "migrate"])
for front, values in FRONTS.items():
    compare(front, {"nginx": {"enabled": False}, **values}, [front, "migrate"])
compare("backup", {"backup": {"enabled": True}}, ["backup", "migrate"])
compare("encryption-keys", {"secrets": {"encryptionKeys": True}}, ["encryption-keys", "migrate"])
# The plain autoscalers are those of the overlay for one machine.
fewer = {"minReplicas": 2, "maxReplicas": 3}
chart = render({"autoscaling": {"kind": "hpa"}, "gateway": fewer, "worker": fewer})
built = by_name([(BUILT / "local.yaml").read_text()])
for name in [("HorizontalPodAutoscaler", "gateway"), ("HorizontalPodAutoscaler", "worker")]:
    for difference in differences("", chart.get(name), built.get(name)):
        fail("autoscalers", *name, difference)
# What the default values do not cover.
extra = render({"autoscaling": {"kind": "hpa"}, "backup": {"enabled": True}, "networkPolicies": {"enabled": False},
                "nginx": {"proxyProtocolFrom": ["10.0.0.0/8", "192.0.2.0/24"]}, "image": {"digest": "sha256:" + "0" * 64},
                "gateway": {"image": "chat:before", **OWN_POD}, "worker": OWN_POD})
if any(kind in ("ScaledObject", "NetworkPolicy") for kind, _ in extra) or ("CronJob", "backup") not in extra:
    fail("options are ignored:", sorted(extra))
if "@sha256:" not in extra["Deployment", "worker"]["spec"]["template"]["spec"]["containers"][0]["image"]:
    fail("the digest is ignored")
if {"name": "PROXY_PROTOCOL_FROM", "value": "10.0.0.0/8 192.0.2.0/24"} not in \
        extra["Deployment", "nginx"]["spec"]["template"]["spec"]["containers"][0]["env"]:
    fail("the PROXY protocol is ignored")
if extra["Deployment", "gateway"]["spec"]["template"]["spec"]["containers"][0]["image"] != "chat:before":
    fail("gateways do not keep the image from before")
for service in ("gateway", "worker"):
    template = extra["Deployment", service]["spec"]["template"]
    pod, container = template["spec"], template["spec"]["containers"][0]
    parts = [(template["metadata"]["labels"].items(), OWN_POD["podLabels"].items()), (container["env"], OWN_POD["extraEnv"]),
             (pod["volumes"], OWN_POD["extraVolumes"]), (container["volumeMounts"], OWN_POD["extraVolumeMounts"])]
    if any(part not in all_parts for all_parts, own in parts for part in own):
        fail(service, "lacks what was added to its pod")
try:
    render({"gatway": {}})
    fail("a value that does not exist is accepted")
except helm.HelmError:
    print("ok      values are checked")
sys.exit(1 if failures else 0)
