"""What deploy/check runs in its environment.

1. Each manifest fits the strict schema of the oldest and the newest Kubernetes below; the ServiceMonitor, the operator's.
2. Names that refer to something are there: selectors, ports, scale targets, volumes, files of a kustomization.
3. Ports, user and directories are the Dockerfile's; the Deployment's pod is the StatefulSet's.
4. The ConfigMap's TOML passes `miffy check`, and its times and sizes fit the pod's.
5. Broken on purpose (BREAKS), each of it is found.
"""

import copy
import functools
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml
from cloudcoil.models.prometheus_operator import v1 as operator

VERSIONS = ["1.29", "1.37"]
ROOT = Path(__file__).resolve().parent.parent
BASE, DURABLE = "kubernetes", "kubernetes-durable"
MIFFY = str(Path(sys.argv[1]).resolve())

# File, what is there, what it is made, and a part of what is to be said of it.
BREAKS = [
    (f"{BASE}/deployment.yaml", "readOnlyRootFilesystem", "readOnlyRootFileSystem", "readOnlyRootFileSystem"),
    (f"{BASE}/deployment.yaml", "periodSeconds: 10", "periodSeconds: ten", "'ten' is not"),
    (f"{BASE}/deployment.yaml", "port: management", "port: managment", "no port 'managment'"),
    (f"{BASE}/deployment.yaml", "Seconds: 50", "Seconds: 40", "terminationGracePeriodSeconds"),
    (f"{BASE}/deployment.yaml", "mountPath: /var/spool/miffy", "mountPath: /var/spool", "mounted"),
    (f"{BASE}/deployment.yaml", "runAsUser: 10001", "runAsUser: 1000", "Dockerfile"),
    (f"{BASE}/deployment.yaml", "memory: 1Gi", "memory: 256Mi", "memory"),
    (f"{BASE}/deployment.yaml", "sizeLimit: 1536Mi", "sizeLimit: 1Gi", "spool.max_bytes"),
    (f"{BASE}/service.yaml", "targetPort: http", "targetPort: https", "no port 'https'"),
    (f"{BASE}/service.yaml", "  selector:\n    app.kubernetes.io/name: miffy", "  selector:\n    app: miffy", "no pod"),
    (f"{BASE}/service.yaml", "clusterIP: None", "clusterIp: None", "clusterIp"),
    (f"{BASE}/poddisruptionbudget.yaml", "maxUnavailable: 1", "maxUnavailble: 1", "maxUnavailble"),
    (f"{BASE}/horizontalpodautoscaler.yaml", "averageUtilization", "averageUtilisation", "averageUtilisation"),
    (f"{BASE}/horizontalpodautoscaler.yaml", "kind: Deployment", "kind: StatefulSet", "scales nothing"),
    (f"{BASE}/servicemonitor.yaml", "scrapeTimeout", "timeout", "'timeout' was unexpected"),
    (f"{BASE}/servicemonitor.yaml", "interval: 15s", "interval: 15 seconds", "15 seconds"),
    (f"{BASE}/servicemonitor.yaml", "port: management", "port: metrics", "no port 'metrics'"),
    (f"{BASE}/servicemonitor.yaml", "monitoring.coreos.com/v1", "monitoring.coreos.com/v2", "no schema"),
    (f"{BASE}/configmap.yaml", "    candidate = ", "    candidat = ", "candidat"),
    (f"{BASE}/configmap.yaml", "data:", "data: {}\ndata:", "twice"),
    (f"{BASE}/kustomization.yaml", "  - service.yaml\n", "", "service.yaml"),
    (f"{DURABLE}/statefulset.yaml", "whenScaled: Retain", "whenScaleDown: Retain", "whenScaleDown"),
    (f"{DURABLE}/statefulset.yaml", "path: /healthz", "path: /readyz", "differ"),
    (f"{DURABLE}/kustomization.yaml", "value: StatefulSet", "value: StatefullSet", "scales nothing"),
]


class Loader(yaml.SafeLoader):
    """Without keys that are there twice, of which YAML's loader takes the last."""


def mapping(loader, node):
    keys = [loader.construct_object(key) for key, _ in node.value]
    for key in keys:
        if keys.count(key) > 1:
            raise yaml.YAMLError(f"{key} is there twice")
    return loader.construct_mapping(node, deep=True)


Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)


@functools.cache
def service_monitor():
    """The operator's schema, in which every object has the fields that it names and no others."""

    def close(schema):
        if isinstance(schema, dict):
            if "properties" in schema:
                schema.setdefault("additionalProperties", False)
            for value in schema.values():
                close(value)
        elif isinstance(schema, list):
            for value in schema:
                close(value)

    schema = operator.ServiceMonitor.model_json_schema(by_alias=True)
    close(schema)
    return jsonschema.Draft202012Validator(schema)


@functools.cache
def misfits(text):
    """Where a resource, as JSON, does not fit its schema."""
    resource = json.loads(text)
    kind = resource["apiVersion"], resource["kind"]
    if kind == ("monitoring.coreos.com/v1", "ServiceMonitor"):
        errors = service_monitor().iter_errors(resource)
        leaves = [leaf for error in errors for leaf in error.context or [error]]
        return [f"{error.json_path}: {error.message}" for error in leaves]
    found = []
    for version in VERSIONS:
        try:
            used = kubernetes_validate.validate(resource, version, strict=True)
            if used != version:
                found.append(f"the schemas of Kubernetes {version} are not there")
        except kubernetes_validate.ValidationError as error:
            found.append(f"{'.'.join(map(str, error.path))}: {error.message} (Kubernetes {version})")
        except kubernetes_validate.SchemaNotFoundError:
            found.append(f"there is no schema for {' '.join(kind)} in Kubernetes {version}")
    return found


@functools.cache
def miffy_says(configuration):
    """The end of `miffy check`, and whether it is content. Nothing of this environment is told to it."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "config.toml")
        path.write_text(configuration)
        run = subprocess.run(
            [MIFFY, "check", "--config", path], cwd=directory, env={"PATH": os.environ["PATH"]},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        )
        return run.returncode, (run.stdout + run.stderr).strip()


def size(text):
    """Bytes of a Kubernetes quantity or of a size in miffy's configuration."""
    number, unit = re.fullmatch(r"(\d+) *([KMG]i)?B?", str(text)).groups()
    return int(number) * 1024 ** ("KMG".index(unit[0]) + 1 if unit else 0)


def kustomization(name, files, tell):
    """The resources of a directory as they would be applied."""
    path = f"{name}/kustomization.yaml"
    document = yaml.load(files[path], Loader)
    known = {"apiVersion", "kind", "namespace", "images", "resources", "patches"}
    if document.keys() - known or document["kind"] != "Kustomization":
        tell(path, f"what is {document.keys() - known}?")
    resources = []
    here = {file.split("/")[1] for file in files if file.startswith(f"{name}/")}
    listed = {entry for entry in document["resources"] if not entry.startswith("../")}
    for file in here - {"kustomization.yaml"} ^ listed:
        tell(path, f"{file} is either not there or not listed")
    for entry in document["resources"]:
        if entry.startswith("../"):
            resources += kustomization(entry[3:], files, tell)
            continue
        for resource in yaml.load_all(files.get(f"{name}/{entry}", ""), Loader):
            for misfit in misfits(json.dumps(resource)):
                tell(f"{name}/{entry}", f"{resource['kind']} {resource['metadata']['name']}: {misfit}")
            resources.append(resource)
    for patch in document.get("patches", []):
        target, change = patch["target"], yaml.load(patch["patch"], Loader)
        is_target = lambda it: (it["kind"], it["metadata"]["name"]) == (target["kind"], target["name"])
        hit = [it for it in resources if is_target(it)]
        if len(hit) != 1:
            tell(path, f"a patch has {len(hit)} targets")
        elif change == {"$patch": "delete", "apiVersion": hit[0]["apiVersion"], "kind": target["kind"],
                        "metadata": {"name": target["name"]}}:
            resources.remove(hit[0])
        elif isinstance(change, list) and all(step["op"] == "replace" for step in change):
            changed = copy.deepcopy(hit[0])
            for step in change:
                *way, last = step["path"].split("/")[1:]
                functools.reduce(lambda it, key: it[key], way, changed)[last] = step["value"]
            resources[resources.index(hit[0])] = changed
            for misfit in misfits(json.dumps(changed)):
                tell(path, misfit)
        else:
            tell(path, "this check does not know such a patch")
    return resources


def references(name, resources, dockerfile, tell):
    """That what is referred to is there, and that all of it is about the same binary."""
    of = lambda *kinds: [it for it in resources if it["kind"] in kinds]
    (workload,) = of("Deployment", "StatefulSet")
    (config,) = of("ConfigMap")
    pod, labels = workload["spec"]["template"]["spec"], workload["spec"]["template"]["metadata"]["labels"]
    (container,) = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    has = lambda labels, wanted: wanted.items() <= labels.items()

    def port(whose, wanted, there):
        if wanted not in there:
            tell(name, f"{whose}: there is no port {wanted!r}")

    selectors = [(it, it["spec"]["selector"]) for it in of("Service")]
    selectors += [(it, it["spec"]["selector"]["matchLabels"]) for it in [workload, *of("PodDisruptionBudget")]]
    selectors += [(workload, it["labelSelector"]["matchLabels"]) for it in pod["topologySpreadConstraints"]]
    for whose, selector in selectors:
        if not has(labels, selector):
            tell(name, f"{whose['kind']} {whose['metadata']['name']} selects no pod")
    for service in of("Service"):
        for it in service["spec"]["ports"]:
            port(f"Service {service['metadata']['name']}", it["targetPort"], ports)
    for probe in "livenessProbe", "readinessProbe":
        port(probe, container[probe]["httpGet"]["port"], ports)
    for monitor in of("ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"]
        services = [it for it in of("Service") if has(it["metadata"]["labels"], wanted)]
        if len(services) != 1:
            tell(name, f"the ServiceMonitor selects {len(services)} Services")
        for endpoint in monitor["spec"]["endpoints"]:
            port("ServiceMonitor", endpoint.get("port"), {it["name"] for s in services for it in s["spec"]["ports"]})
    for scaler in of("HorizontalPodAutoscaler"):
        target = {key: workload[key] for key in ("apiVersion", "kind")} | {"name": workload["metadata"]["name"]}
        if scaler["spec"]["scaleTargetRef"] != target:
            tell(name, "the HorizontalPodAutoscaler scales nothing that is there")
    if workload["kind"] == "StatefulSet":
        governing = [it for it in of("Service") if it["metadata"]["name"] == workload["spec"]["serviceName"]]
        if [it["spec"].get("clusterIP") for it in governing] != ["None"]:
            tell(name, "serviceName names no headless Service")

    def equal(what, is_, should, why):
        if is_ != should:
            tell(name, f"{what} is {is_!r}, and {should!r} by {why}")

    user = int(re.search(r"(?m)^USER (\d+)$", dockerfile)[1])
    exposed = [int(it) for it in re.search(r"(?m)^EXPOSE (.*)$", dockerfile)[1].split()]
    settings = tomllib.loads(config["data"]["config.toml"])
    equal("runAsUser", pod["securityContext"].get("runAsUser"), user, "the Dockerfile")
    equal("ports", sorted(ports.values()), sorted(exposed), "the Dockerfile")
    equal("port", settings.get("port", 8080), ports.get("http"), "the pod")
    equal("management_port", settings.get("management_port", 9000), ports.get("management"), "the pod")
    mounts = {it["name"]: it["mountPath"] for it in container["volumeMounts"]}
    claims = {it["metadata"]["name"]: it for it in workload["spec"].get("volumeClaimTemplates", [])}
    volumes = {it["name"]: it for it in pod["volumes"]}
    equal("what is mounted", set(mounts), set(volumes) | set(claims), "the volumes")
    spool = settings["spool"]
    equal("where spool.directory is mounted", mounts.get("spool"), spool["directory"], "the ConfigMap")
    if f"--mode=0700 {spool['directory']}" not in dockerfile:
        tell(name, f"the Dockerfile has no {spool['directory']}")
    equal("the volume's ConfigMap", volumes["config"]["configMap"]["name"], config["metadata"]["name"], "its name")
    env = {it["name"]: it.get("value") for it in container["env"]}
    equal("MIFFY_CONFIG", env.get("MIFFY_CONFIG"), f"{mounts.get('config')}/config.toml", "the volume")

    seconds = lambda text: int(re.fullmatch(r"(\d+)s", text)[1])
    if pod["terminationGracePeriodSeconds"] < seconds(settings["shutdown_timeout"]) + 5:
        tell(name, "terminationGracePeriodSeconds is not five seconds more than shutdown_timeout")
    if "spool" in claims:
        room = claims["spool"]["spec"]["resources"]["requests"]["storage"]
    else:
        room = volumes["spool"]["emptyDir"]["sizeLimit"]
        if size(container["resources"]["limits"]["ephemeral-storage"]) <= size(room):
            tell(name, "the limit of ephemeral-storage leaves no room beside the volume")
    if size(room) < size(spool["max_bytes"]) * 5 // 4:
        tell(name, "the spool's volume is not a quarter more than spool.max_bytes")
    needed = size(settings["capture"]["max_total"]) + 2 * size(settings["delivery"]["queue_bytes"])
    if any(size(container["resources"][it]["memory"]) < 2 * needed for it in ("requests", "limits")):
        tell(name, "memory is not twice what capture.max_total and delivery.queue_bytes allow")
    return workload


def pods_agree(base, durable, tell):
    """A Deployment's pod and a StatefulSet's, but for what has to differ."""

    def common(workload):
        pod = copy.deepcopy(workload["spec"]["template"])
        pod["spec"]["volumes"] = [it for it in pod["spec"]["volumes"] if it["name"] != "spool"]
        for constraint in pod["spec"]["topologySpreadConstraints"]:
            del constraint["matchLabelKeys"]
        for resources in pod["spec"]["containers"][0]["resources"].values():
            del resources["ephemeral-storage"]
        return pod

    if common(base) != common(durable):
        tell(DURABLE, "the pods of the Deployment and of the StatefulSet differ")


def check(files):
    """All that is wrong."""
    problems = []
    tell = lambda where, what: problems.append(f"{where}: {what}")
    dockerfile = (ROOT / "Dockerfile").read_text()
    try:
        base, durable = (kustomization(name, files, tell) for name in (BASE, DURABLE))
        for resource in base:
            if resource["kind"] == "ConfigMap":
                code, said = miffy_says(resource["data"]["config.toml"])
                if code != 0:
                    tell(BASE, f"miffy check ends with {code}:\n{said}")
        pods_agree(references(BASE, base, dockerfile, tell), references(DURABLE, durable, dockerfile, tell), tell)
    except (yaml.YAMLError, tomllib.TOMLDecodeError, LookupError, TypeError, ValueError, AttributeError) as error:
        problems.append(f"it can't be understood: {type(error).__name__}: {error}")
    return list(dict.fromkeys(problems))


def main():
    files = {
        f"{name}/{path.name}": path.read_text()
        for name in (BASE, DURABLE)
        for path in sorted((ROOT / "deploy" / name).iterdir())
    }
    problems = check(files)
    if problems:
        sys.exit("deploy/check: " + "\ndeploy/check: ".join(problems))
    kinds = sum(len(list(yaml.load_all(text, Loader))) for path, text in files.items() if "kustom" not in path)
    print(f"{kinds} resources fit Kubernetes {' and '.join(VERSIONS)} and each other; miffy takes the configuration")
    for file, old, new, expected in BREAKS:
        if old not in files[file]:
            sys.exit(f"deploy/check: {file} has no {old!r} to break")
        found = check(files | {file: files[file].replace(old, new, 1)})
        if not any(expected in problem for problem in found):
            sys.exit(f"deploy/check: {new!r} in {file} is not found; only {found}")
    print(f"broken in {len(BREAKS)} ways, each was found")


main()
