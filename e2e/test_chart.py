# SPDX-License-Identifier: Apache-2.0
"""charts/lifeboat with Helm: what it renders, what it refuses, and what the operator's account may do on a real API
server once it is installed."""

import copy
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

import host
from kube import ApiServer

CHART = host.CHECKOUT / "charts/lifeboat"
NAMESPACE = "lifeboat-system"
OPERATOR = f"system:serviceaccount:{NAMESPACE}:lifeboat-operator"
VERSION = "1.33.0"

VALUES = {
    "the defaults": {},
    "restores": {"restore": {"namespaces": ["shop", "other"]}},
    "some namespaces": {"watchNamespaces": ["shop"], "restore": {"namespaces": ["shop"]}},
    "the least": {"replicas": 1, "crds": {"install": False}, "admissionPolicy": {"enabled": False},
                  "podDisruptionBudget": {"enabled": False}},
    "everything else": {
        "image": {"repository": "registry.example.com/operator", "digest": "sha256:" + "0" * 64, "pullPolicy": "Always"},
        "sidecar": {"image": {"repository": "registry.example.com/sidecar", "tag": "1.2.3"}},
        "imagePullSecrets": [{"name": "registry"}], "logLevel": "debug", "serviceAccount": {"annotations": {"a": "b"}},
        "podAnnotations": {"a": "b"}, "podLabels": {"c": "d"}, "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "a", "operator": "Exists"}], "priorityClassName": "system-cluster-critical",
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}}},
        "admissionPolicy": {"tokenAudiences": ["sts.amazonaws.com"]}, "resources": {"requests": {"cpu": 1}}},
}


class Helm:
    """Helm as whoever runs the tests, with a home of its own."""

    def __init__(self, home: Path):
        self.home = home

    def __call__(self, *arguments, values: dict | None = None, server: ApiServer | None = None,
                 check: bool = True) -> subprocess.CompletedProcess:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home)}
        if server:
            environment["KUBECONFIG"] = str(server.kubeconfig)
        done = subprocess.run([host.tools() / "helm/bin/helm", *arguments, *(["--values=-"] if values else [])],
                              env=environment, text=True, capture_output=True,
                              input=json.dumps(values) if values else None)
        assert done.returncode == 0 or not check, done.stderr
        return done

    def render(self, values: dict, chart: Path = CHART) -> str:
        return self("template", "lifeboat", chart, f"--namespace={NAMESPACE}", f"--kube-version={VERSION}",
                    values=values).stdout


@pytest.fixture(scope="module")
def helm(tmp_path_factory) -> Helm:
    return Helm(tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="module")
def installed(api_server, helm) -> ApiServer:
    """An API server with the chart, which may restore in the namespace `shop`."""
    api_server.kubectl("create", "namespace", "shop")
    api_server.kubectl("create", "namespace", "elsewhere")
    helm("install", "lifeboat", CHART, f"--namespace={NAMESPACE}", "--create-namespace",
         values={"restore": {"namespaces": ["shop"]}}, server=api_server)
    host.wait_until(lambda: "ValidatingAdmissionPolicy" in create_as(api_server, changed("metadata.ownerReferences", [])),
                    "the API server goes by the chart's ValidatingAdmissionPolicies")
    return api_server


def objects(api: ApiServer, text: str) -> list[dict]:
    """What YAML says, read by kubectl, which prints one JSON object after the other."""
    printed = api.kubectl("create", "--dry-run=client", "--validate=false", "--output=json", "--filename=-", stdin=text)
    found, decoder = [], json.JSONDecoder()
    while printed := printed.lstrip():
        item, end = decoder.raw_decode(printed)
        found.append(item)
        printed = printed[end:]
    return found


# What it renders


def json_schemas(api: ApiServer, directory: Path) -> None:
    """One file a kind, from what the API server says of itself: its own kinds and those of crds/."""
    definitions = json.loads(api.kubectl("get", "--raw", "/openapi/v2"))["definitions"]
    for definition in definitions.values():
        if definition.get("format") == "int-or-string":
            definition["type"] = ["string", "integer"]
        if "properties" in definition and not definition.get("x-kubernetes-group-version-kind"):
            definition.setdefault("additionalProperties", False)
    quantity = "io.k8s.apimachinery.pkg.api.resource.Quantity"
    definitions[quantity]["type"] = ["string", "number"]
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", []):
            group = kind["group"] or kind["version"]  # as kubeconform calls it
            file = f"{group}_{kind['version']}_{kind['kind']}.json".lower()
            top = {**definition, "additionalProperties": False}
            directory.joinpath(file).write_text(json.dumps({**top, "definitions": definitions}))


@pytest.fixture(scope="module")
def schemas(installed, tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("schemas")
    json_schemas(installed, directory)
    return directory


def kubeconform(schemas: Path, text: str) -> subprocess.CompletedProcess:
    location = f"{schemas}/{{{{.Group}}}}_{{{{.ResourceAPIVersion}}}}_{{{{.ResourceKind}}}}.json"
    return subprocess.run([host.tools() / "kubeconform/bin/kubeconform", "-strict", "-summary", "-output=json",
                           f"-schema-location={location}"], input=text, text=True, capture_output=True)


@pytest.mark.parametrize("case", VALUES)
def test_what_is_rendered_fits_the_schemas_of_kubernetes(helm, schemas, case):
    done = kubeconform(schemas, helm.render(VALUES[case]))
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["summary"]["valid"] > 8


def test_a_mistake_would_be_found(helm, schemas):
    wrong = helm.render({}).replace("clusterIP: None", "clusterIp: None")
    assert "clusterIp" in kubeconform(schemas, wrong).stdout


@pytest.mark.parametrize("example", sorted(path.name for path in (host.CHECKOUT / "docs/examples").glob("*.yaml")))
def test_the_examples_fit_the_schemas(schemas, example):
    done = kubeconform(schemas, (host.CHECKOUT / "docs/examples" / example).read_text())
    assert done.returncode == 0, done.stdout


def test_helm_has_nothing_to_say_against_the_chart(helm):
    helm("lint", "--strict", CHART)


@pytest.mark.parametrize("values, complaint", [
    ({"replica": 2}, "replica"), ({"image": {"repo": "x"}}, "repo"), ({"logLevel": "loud"}, "logLevel"),
    ({"replicas": 0}, "replicas"), ({"image": {"repository": "x", "digest": "abc"}}, "digest"),
    ({"restore": {"namespaces": ["Shop"]}}, "namespaces"), ({"restore": {"namespace": "shop"}}, "namespace"),
    ({"sidecar": {"tag": "1"}}, "tag"), ({"resources": {"limit": {}}}, "limit"),
], ids=str)
def test_unknown_and_wrong_values_are_refused(helm, values, complaint):
    done = helm("template", "lifeboat", CHART, f"--kube-version={VERSION}", values=values, check=False)
    assert done.returncode != 0 and complaint in done.stderr and "schema" in done.stderr


def test_an_old_kubernetes_is_refused(helm):
    done = helm("template", "lifeboat", CHART, "--kube-version=1.29.9", check=False)
    assert "requires kubeVersion: >=1.30" in done.stderr


def test_every_value_is_explained(helm):
    """Each has a place in values.yaml and one in its schema."""
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
    written = set(re.findall(r"^(\w+):", (CHART / "values.yaml").read_text(), re.M))
    assert written == set(schema) - {"global"}


def test_a_packaged_chart_is_the_same(helm, tmp_path):
    helm("package", CHART, f"--destination={tmp_path}")
    [package] = tmp_path.glob("lifeboat-*.tgz")
    assert helm.render({}, package) == helm.render({})


def test_the_chart_has_the_resources_of_the_source_tree(helm):
    rendered = helm.render({})
    for path in (host.CHECKOUT / "crds").glob("*.yaml"):
        assert path.read_text().rstrip() in rendered
    assert rendered.count("helm.sh/resource-policy: keep") == 3


def deployment(api: ApiServer, helm: Helm, values: dict) -> dict:
    return next(item for item in objects(api, helm.render(values)) if item["kind"] == "Deployment")


def test_the_operator_gets_its_options(installed, helm):
    [container] = deployment(installed, helm, VALUES["everything else"])["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example.com/operator@sha256:" + "0" * 64
    assert container["args"] == ["--log-level=debug", "--sidecar-image=registry.example.com/sidecar:1.2.3"]
    [container] = deployment(installed, helm, VALUES["some namespaces"])["spec"]["template"]["spec"]["containers"]
    assert "--watch-namespace=shop" in container["args"]


def test_its_pods_keep_to_the_restricted_standard(installed, helm):
    installed.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted", "--overwrite")
    template = deployment(installed, helm, {})["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "as-deployed", "namespace": NAMESPACE},
           "spec": template["spec"]}
    installed.kubectl("create", "--dry-run=server", "--validate=strict", "--filename=-", stdin=json.dumps(pod))
    pod["spec"]["containers"][0]["securityContext"].pop("capabilities")
    with pytest.raises(AssertionError, match="unrestricted capabilities"):
        installed.kubectl("create", "--dry-run=server", "--filename=-", stdin=json.dumps(pod))


# What the operator's account may do


MAY = [
    ("get,list,watch", "backuppolicies", "elsewhere"), ("get,list,watch,create", "backups", "elsewhere"),
    ("list,watch,delete", "restorejobs", "elsewhere"), ("patch", "backuppolicies/status", "elsewhere"),
    ("patch", "backups/status", "elsewhere"), ("patch", "restorejobs/status", "elsewhere"),
    ("get,list,watch", "pods", "elsewhere"), ("get,list,watch,create,patch", "configmaps", "elsewhere"),
    ("create,patch", "events.events.k8s.io", "elsewhere"), ("get", "nodes", ""), ("get", "namespaces/kube-system", ""),
    ("create", "tokenreviews.authentication.k8s.io", ""), ("create", "subjectaccessreviews.authorization.k8s.io", ""),
    ("create", "leases.coordination.k8s.io", NAMESPACE), ("get,update", "leases.coordination.k8s.io/lifeboat-operator", NAMESPACE),
    ("create", "secrets", NAMESPACE), ("get,update", "secrets/lifeboat-tls", NAMESPACE),
    ("create,delete", "pods", "shop"), ("get,create,patch,delete", "persistentvolumeclaims", "shop"),
]
MAY_NOT = [
    ("get,list,watch", "secrets", "shop"), ("get", "secrets/lifeboat-shop", "shop"), ("list,watch", "secrets", NAMESPACE),
    ("get", "secrets/other", NAMESPACE), ("create,delete", "pods", "elsewhere"), ("create,delete", "pods", NAMESPACE),
    ("get,create,delete", "persistentvolumeclaims", "elsewhere"), ("patch,update", "pods", "shop"),
    ("create", "pods/exec", "shop"), ("get", "pods/log", "shop"), ("update,patch,delete", "backuppolicies", "shop"),
    ("update,patch,delete", "backups", "shop"), ("get,create,update,patch", "restorejobs", "shop"), ("delete,update", "configmaps", "shop"), ("update,patch", "nodes", ""),
    ("get", "namespaces/default", ""), ("list", "namespaces", ""), ("create", "serviceaccounts/token", "shop"),
    ("impersonate", "users", ""), ("escalate,bind", "clusterroles.rbac.authorization.k8s.io", ""),
    ("update", "leases.coordination.k8s.io/other", NAMESPACE), ("create", "deployments.apps", "shop"),
    ("get", "/metrics", ""),
]


def allowed(api: ApiServer, verb: str, resource: str, namespace: str, user: str = OPERATOR) -> bool:
    """What the API server's authorizer says of somebody."""
    attributes = {"verb": verb}
    if resource.startswith("/"):
        spec = {"nonResourceAttributes": {**attributes, "path": resource}}
    else:
        kind, _, rest = resource.partition("/")
        kind, _, group = kind.partition(".")
        group = group or ("lifeboat.dev" if kind in ("backuppolicies", "backups", "restorejobs") else "")
        part = {"subresource": rest} if rest in ("status", "exec", "log", "token", "finalizers") else {"name": rest}
        spec = {"resourceAttributes": {**attributes, "resource": kind, "group": group, "namespace": namespace, **part}}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
              "spec": {"user": user, "groups": ["system:serviceaccounts", "system:authenticated"], **spec}}
    answer = api.kubectl("create", "--filename=-", "--output=json", stdin=json.dumps(review))
    return json.loads(answer)["status"]["allowed"]


@pytest.mark.parametrize("verbs, resource, namespace", MAY, ids=str)
def test_the_operator_may(installed, verbs, resource, namespace):
    assert [verb for verb in verbs.split(",") if not allowed(installed, verb, resource, namespace)] == []


@pytest.mark.parametrize("verbs, resource, namespace", MAY_NOT, ids=str)
def test_the_operator_may_not(installed, verbs, resource, namespace):
    assert [verb for verb in verbs.split(",") if allowed(installed, verb, resource, namespace)] == []


def test_kubectl_says_the_same(installed):
    def can_i(*arguments: str) -> str:
        done = host.run([*installed.kubectl_command, "auth", "can-i", *arguments, f"--as={OPERATOR}"], check=False)
        return done.stdout.strip()

    assert can_i("create", "pods", "--namespace=shop") == "yes"
    assert can_i("create", "pods", "--namespace=elsewhere") == "no"
    assert can_i("get", "secrets", "--namespace=shop") == "no"


def test_named_namespaces_keep_its_rights_to_these(installed, helm):
    rendered = objects(installed, helm.render(VALUES["some namespaces"]))
    [everywhere] = [item for item in rendered if (item["kind"], item["metadata"]["name"]) == (
        "ClusterRole", "lifeboat-operator")]
    resources = {resource for rule in everywhere["rules"] for resource in rule["resources"]}
    assert resources == {"tokenreviews", "subjectaccessreviews", "nodes", "namespaces"}
    assert {item["metadata"]["namespace"] for item in rendered
            if item["metadata"]["name"] == "lifeboat-operator-watch"} == {"shop"}


def test_people_get_the_resources_with_their_roles(installed):
    """No controller aggregates here, so the roles themselves are looked at."""
    roles = {role["metadata"]["name"]: role for role in json.loads(installed.kubectl(
        "get", "clusterroles", "--output=json", "--selector=app.kubernetes.io/name=lifeboat"))["items"]}
    assert roles["lifeboat-view"]["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"] == "true"
    assert roles["lifeboat-edit"]["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"
    for role in (roles["lifeboat-view"], roles["lifeboat-edit"]):
        assert [rule["resources"] for rule in role["rules"]] == [["backuppolicies", "backups", "restorejobs"]]


# What its pods may be


POD = {
    "apiVersion": "v1", "kind": "Pod",
    "metadata": {"name": "copy-1", "namespace": "shop", "ownerReferences": [
        {"apiVersion": "lifeboat.dev/v1alpha1", "kind": "RestoreJob", "name": "copy", "uid": "u", "controller": True}]},
    "spec": {
        "serviceAccountName": "default", "automountServiceAccountToken": False, "restartPolicy": "Never",
        "containers": [{"name": "lifeboat", "image": "lifeboat-sidecar:0.1.0",
                        "securityContext": {"allowPrivilegeEscalation": False, "runAsUser": 999,
                                            "capabilities": {"drop": ["ALL"]}}}],
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": "copy"}},
            {"name": "config", "configMap": {"name": "lifeboat-shop", "optional": True}},
            {"name": "secrets", "secret": {"secretName": "lifeboat-shop", "optional": True}},
            {"name": "token", "projected": {"sources": [
                {"serviceAccountToken": {"path": "token", "audience": "lifeboat.dev", "expirationSeconds": 3600}}]}},
            {"name": "scratch", "emptyDir": {}}],
    },
}


def changed(path: str, value) -> dict:
    pod = copy.deepcopy(POD)
    *names, last = path.split(".")
    node = pod
    for name in names:
        node = node[int(name)] if name.isdigit() else node[name]
    if last == "append":
        node.append(value)
    else:
        node[last] = value
    return pod


def create_as(api: ApiServer, pod: dict, user: str = OPERATOR) -> str:
    done = host.run([*api.kubectl_command, "create", "--dry-run=server", "--filename=-", f"--as={user}"],
                    stdin=json.dumps(pod), check=False)
    return "" if done.returncode == 0 else done.stderr


def test_a_pod_of_a_restorejob_is_admitted(installed):
    assert create_as(installed, POD) == ""


VOLUME, CONTAINER = "spec.volumes.append", "spec.containers.0"


@pytest.mark.parametrize("pod, complaint", [
    (changed("metadata.ownerReferences", []), "whose controller is a RestoreJob"),
    (changed("metadata.ownerReferences.0.kind", "Job"), "whose controller is a RestoreJob"),
    (changed("metadata.ownerReferences.0.apiVersion", "example.com/v1"), "whose controller is a RestoreJob"),
    (changed("metadata.ownerReferences.0.controller", False), "whose controller is a RestoreJob"),
    (changed("spec.automountServiceAccountToken", True), "automountServiceAccountToken: false"),
    (changed("spec.automountServiceAccountToken", None), "automountServiceAccountToken: false"),
    (changed("spec.hostNetwork", True), "namespaces of the host"), (changed("spec.hostPID", True), "namespaces of the host"),
    (changed("spec.hostIPC", True), "namespaces of the host"),
    (changed(VOLUME, {"name": "x", "hostPath": {"path": "/"}}), "no hostPath"),
    (changed(VOLUME, {"name": "x", "nfs": {"server": "a", "path": "/"}}), "with volumes of the types"),
    (changed(VOLUME, {"name": "x", "csi": {"driver": "a"}}), "with volumes of the types"),
    (changed(VOLUME, {"name": "x", "secret": {"secretName": "other"}}), "Secrets whose name begins with lifeboat-"),
    (changed(VOLUME, {"name": "x", "projected": {"sources": [{"secret": {"name": "other"}}]}}), "begins with lifeboat-"),
    (changed(VOLUME, {"name": "x", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}), "the audience"),
    (changed(VOLUME, {"name": "x", "projected": {"sources": [
        {"serviceAccountToken": {"path": "t", "audience": "https://kubernetes.default.svc"}}]}}), "the audience lifeboat"),
    (changed(f"{CONTAINER}.env", [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "other", "key": "k"}}}]),
     "without Secrets in environment variables"),
    (changed(f"{CONTAINER}.envFrom", [{"secretRef": {"name": "lifeboat-shop"}}]), "without Secrets in environment"),
    (changed(f"{CONTAINER}.securityContext", {}), "not privileged"),
    (changed(f"{CONTAINER}.securityContext", {"privileged": True}), "not privileged"),
    (changed(f"{CONTAINER}.securityContext.capabilities", {"add": ["SYS_ADMIN"]}), "no added capabilities"),
    (changed("spec.initContainers", [{"name": "x", "image": "x"}]), "not privileged"),
    (changed("spec.initContainers", [{"name": "x", "image": "x", "securityContext": {"allowPrivilegeEscalation": False},
                                      "envFrom": [{"secretRef": {"name": "other"}}]}]), "without Secrets in environment"),
])
def test_any_other_pod_of_the_operator_is_refused(installed, pod, complaint):
    said = create_as(installed, pod)
    assert "ValidatingAdmissionPolicy 'lifeboat-operator-pods'" in said and complaint in said, said
    # Nobody else is held to it.
    assert "ValidatingAdmissionPolicy" not in create_as(installed, pod, "system:admin")


def of_cloud(audience: str, path: str, **environment: str) -> dict:
    """The pod of a RestoreJob as a cloud's webhook leaves it, which gives it a token for this audience."""
    pod = changed(VOLUME, {"name": "cloud-token", "projected": {"sources": [
        {"serviceAccountToken": {"path": "token", "audience": audience, "expirationSeconds": 3600}}]}})
    container = pod["spec"]["containers"][0]
    container["env"] = [*container.get("env", []), *({"name": name, "value": value} for name, value in environment.items())]
    container["volumeMounts"] = [*container.get("volumeMounts", []),
                                 {"name": "cloud-token", "mountPath": path, "readOnly": True}]
    return pod


def test_tokens_for_a_cloud_are_admitted_where_the_chart_is_told(installed, helm):
    def use(audiences: list[str]) -> None:
        rendered = helm.render({"admissionPolicy": {"tokenAudiences": audiences}})
        installed.kubectl("apply", "--filename=-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": [
            item for item in objects(installed, rendered) if item["kind"] == "ValidatingAdmissionPolicy"]}))

    amazon = of_cloud("sts.amazonaws.com", "/var/run/secrets/eks.amazonaws.com/serviceaccount", AWS_ROLE_ARN="arn:aws:iam::1:role/a",
                      AWS_WEB_IDENTITY_TOKEN_FILE="/var/run/secrets/eks.amazonaws.com/serviceaccount/token")
    azure = of_cloud("api://AzureADTokenExchange", "/var/run/secrets/azure/tokens", AZURE_CLIENT_ID="a", AZURE_TENANT_ID="b",
                     AZURE_FEDERATED_TOKEN_FILE="/var/run/secrets/azure/tokens/token")
    azure["metadata"].setdefault("labels", {})["azure.workload.identity/use"] = "true"
    ours = of_cloud("https://kubernetes.default.svc", "/t")
    for pod in amazon, azure, ours:
        assert "the audience lifeboat.dev" in create_as(installed, pod)
    use(["sts.amazonaws.com", "api://AzureADTokenExchange"])
    try:
        host.wait_until(lambda: create_as(installed, amazon) == "", "the API server goes by the other audiences")
        assert create_as(installed, azure) == ""
        assert "the audience lifeboat.dev" in create_as(installed, ours)
    finally:
        use([])
        host.wait_until(lambda: create_as(installed, amazon) != "", "the API server goes by no other audience again")


def test_the_operator_changes_and_deletes_only_what_is_its_own(installed):
    others = changed("metadata.name", "database-0")
    ours = changed("metadata.labels", {"app.kubernetes.io/managed-by": "lifeboat"})
    for pod in (others, ours):
        installed.kubectl("create", "--filename=-", stdin=json.dumps(pod))

    def delete(name: str) -> str:
        done = host.run([*installed.kubectl_command, "delete", "pod", name, "--namespace=shop", f"--as={OPERATOR}",
                         "--wait=false"], check=False)
        return done.stderr

    complaint = "changes and deletes only pods and volume claims with the label app.kubernetes.io/managed-by: lifeboat"
    assert complaint in delete("database-0")
    assert delete("copy-1") == ""
    installed.kubectl("create", "--filename=-", stdin=json.dumps({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "shop"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}))
    patch = host.run([*installed.kubectl_command, "patch", "pvc", "data", "--namespace=shop", f"--as={OPERATOR}",
                      '--patch={"metadata": {"labels": {"app.kubernetes.io/managed-by": "lifeboat"}}}'], check=False)
    assert complaint in patch.stderr


def test_the_operator_writes_only_its_own_configmaps(installed):
    def config_map(name: str, **labels: str) -> str:
        return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"},
                           "metadata": {"name": name, "namespace": "shop", "labels": labels}})

    def apply(text: str) -> str:
        return host.run([*installed.kubectl_command, "apply", "--server-side", "--force-conflicts", "--filename=-",
                         f"--as={OPERATOR}"], stdin=text, check=False).stderr

    ours = {"app.kubernetes.io/managed-by": "lifeboat"}
    complaint = "writes only ConfigMaps lifeboat-* with the label app.kubernetes.io/managed-by: lifeboat"
    assert complaint in apply(config_map("settings", **ours))
    assert complaint in apply(config_map("lifeboat-shop"))
    installed.kubectl("create", "--filename=-", stdin=config_map("lifeboat-mine"))
    assert complaint in apply(config_map("lifeboat-mine", **ours))
    assert apply(config_map("lifeboat-shop", **ours)) == ""
    assert apply(config_map("lifeboat-shop", **ours).replace('"b"', '"c"')) == ""


# Its life


def test_what_people_made_survives_the_chart(installed, helm):
    """Last, because nothing is left of the chart."""
    example = (host.CHECKOUT / "docs/examples/policy.yaml").read_text()
    installed.kubectl("create", "--filename=-", stdin=example)
    helm("upgrade", "lifeboat", CHART, f"--namespace={NAMESPACE}", values={"replicas": 1}, server=installed)
    assert installed.kubectl("get", "role", "lifeboat-operator-restore", "--namespace=shop", "--ignore-not-found") == ""
    notes = helm("uninstall", "lifeboat", f"--namespace={NAMESPACE}", server=installed).stdout
    assert "backuppolicies.lifeboat.dev" in notes
    assert installed.kubectl("get", "lbp", "--output=name").strip() == "backuppolicy.lifeboat.dev/shop"
    helm("install", "lifeboat", CHART, f"--namespace={NAMESPACE}", server=installed)
    assert "shop" in installed.kubectl("get", "lbp")
