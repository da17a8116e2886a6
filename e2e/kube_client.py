# SPDX-License-Identifier: Apache-2.0
"""What scenarios do with a cluster: apply manifests as a user does, look at objects, wait, run commands in pods."""

import functools
import itertools
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import kubernetes
import kubernetes.dynamic.exceptions
import yaml

import host
import kube

Table = list[dict[str, str]]  # rows, by the heads of their columns


class KubeClient:
    def __init__(self, kubeconfig: Path):
        self.kubeconfig = kubeconfig
        self.api = kubernetes.config.new_client_from_config(str(kubeconfig))

    @functools.cached_property
    def _dynamic(self) -> kubernetes.dynamic.DynamicClient:
        return kubernetes.dynamic.DynamicClient(self.api)

    def resource(self, kind: str):
        """The dynamic client of a kind, such as Pod, which must be unambiguous in the cluster. A definition that comes
        later is found, too."""
        preferred = [found for found in self._dynamic.resources.search(kind=kind)
                     if found.group != "events.k8s.io" and not kind.endswith("List")]
        return preferred[0]

    def kubectl(self, *arguments, **options) -> str:
        """What kubectl prints; options are those of host.run."""
        return self._run(kube.program("kubectl"), *arguments, **options)

    def helm(self, *arguments, **options) -> str:
        return self._run(host.tools() / "helm" / "bin" / "helm", *arguments, **options)

    def _run(self, *argv, **options) -> str:
        environment = {"KUBECONFIG": str(self.kubeconfig), "HOME": str(Path.home())}
        return host.run(argv, env=environment, privileged=True, **options).stdout


class Namespace:
    """A namespace of a scenario's own. Without another word, a time limit is one of a machine that is slow."""

    def __init__(self, client: KubeClient, name: str):
        self.client, self.name = client, name

    def kubectl(self, *arguments, **options) -> str:
        return self.client.kubectl("--namespace", self.name, *arguments, **options)

    def apply(self, manifest: str | Path | dict | list[dict]) -> str:
        """Applies YAML, the YAML in a file, or objects."""
        if isinstance(manifest, Path):
            manifest = manifest.read_text()
        elif not isinstance(manifest, str):
            manifest = yaml.safe_dump_all([manifest] if isinstance(manifest, dict) else manifest)
        return self.kubectl("apply", "--filename=-", stdin=manifest)

    def create(self, manifest: dict) -> dict:
        """Creates an object, which may have generateName. Returns it as the API server has it."""
        created = self.kubectl("create", "--filename=-", "--output=json", stdin=yaml.safe_dump(manifest))
        return json.loads(created)

    def make_secret(self, name: str, **values: str) -> None:
        """The names of keys cannot have a full stop here: an underscore stands for it."""
        data = {key.replace("_", "."): value for key, value in values.items()}
        self.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data})

    def get(self, kind: str, name: str) -> dict | None:
        try:
            return self.client.resource(kind).get(name=name, namespace=self.name).to_dict()
        except kubernetes.dynamic.exceptions.NotFoundError:
            return None

    def list(self, kind: str, selector: str = "") -> list[dict]:
        found = self.client.resource(kind).get(namespace=self.name, label_selector=selector)
        return [item.to_dict() for item in found.items]

    def delete(self, kind: str, name: str) -> None:
        """Returns when it is gone."""
        self.kubectl("delete", kind, name, "--timeout=180s", "--ignore-not-found")

    def delete_and_watch(self, pod: str, timeout_s: int = 180) -> dict:
        """Deletes a pod. Returns it as it was when it went, with how its containers ended."""
        return self.watch_end(pod, lambda: self.kubectl("delete", "pod", pod, "--wait=false"), timeout_s)

    def watch_end(self, pod: str, end: Callable[[], object], timeout_s: int = 180) -> dict:
        """The same of a pod that `end` has deleted."""
        pods = self.client.resource("Pod")
        found = pods.get(namespace=self.name, field_selector=f"metadata.name={pod}")
        [last] = [item.to_dict() for item in found.items]
        end()
        for event in pods.watch(namespace=self.name, name=pod, resource_version=found.metadata.resourceVersion,
                                timeout=timeout_s):
            if event["object"].metadata.uid == last["metadata"]["uid"]:
                last = event["object"].to_dict()
                if event["type"] == "DELETED":
                    return last
        raise AssertionError(f"pod '{pod}' is still there after {timeout_s} s:\n{yaml.safe_dump(last['status'])}")

    # Waiting

    def wait_for(self, kind: str, name: str, condition: Callable[[dict], bool], what: str,
                 timeout_s: float = 120) -> dict:
        """Until the object exists and meets the condition. Returns it."""
        deadline = time.monotonic() + timeout_s
        while (found := self.get(kind, name)) is None or not condition(found):
            if time.monotonic() > deadline:
                state = "there is none" if found is None else yaml.safe_dump(found.get("status"))
                raise AssertionError(f"waited {timeout_s} s in vain until {kind} '{name}' {what}:\n{state}")
            time.sleep(0.3)
        return found

    def wait_for_condition(self, kind: str, name: str, type: str, status: str = "True", reason: str = "",
                           timeout_s: float = 120) -> dict:
        """Returns the object."""
        def is_met(found: dict) -> bool:
            met = condition_of(found, type)
            return met.get("status") == status and (not reason or met.get("reason") == reason)

        return self.wait_for(kind, name, is_met, f"has {type}={status} {reason}".rstrip(), timeout_s)

    def wait_until_ready(self, *pods: str, timeout_s: float = 120) -> None:
        for pod in pods:
            self.wait_for_condition("Pod", pod, "Ready", timeout_s=timeout_s)

    def wait_until_answering(self, pod: str, container: str = "postgresql") -> None:
        """Until commands can be run in it: `Ready` may be from the time before a kubelet or a container ended."""
        host.wait_until(lambda: self.exec(pod, "echo", "here", container=container, check=False) == "here\n",
                        f"the pod '{pod}' answers")

    # As a user reads it

    def table(self, *arguments: str) -> Table:
        """What `kubectl get` prints."""
        head, *lines = self.kubectl("get", *arguments).splitlines()
        columns = [(found.group(), found.start()) for found in re.finditer(r"\S+(?: \S+)*", head)]
        ends = [start for _, start in columns[1:]] + [None]
        return [{name: line[start:end].strip() for (name, start), end in zip(columns, ends)} for line in lines]

    def events(self, kind: str, name: str) -> Table:
        """What `kubectl get events` prints about an object, oldest first."""
        selector = f"--field-selector=involvedObject.kind={kind},involvedObject.name={name}"
        return self.table("events", selector, "--sort-by=.metadata.creationTimestamp")

    # In pods

    def exec(self, pod: str, *command: str, container: str = "postgresql", **options) -> str:
        """What the command prints; options are those of host.run."""
        stdin = ["--stdin"] if options.get("stdin") is not None else []
        return self.kubectl("exec", *stdin, pod, f"--container={container}", "--", *command, **options)

    @contextmanager
    def exec_in_background(self, pod: str, *command: str, container: str = "postgresql") -> Iterator[subprocess.Popen]:
        """The command runs while the block does, and may go on behind it."""
        argv = [kube.program("kubectl"), f"--kubeconfig={self.client.kubeconfig}", f"--namespace={self.name}", "exec",
                pod, f"--container={container}", "--", *command]
        with host.running(argv, privileged=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
            yield process

    def sql(self, pod: str, statements: str, database: str = "postgres") -> str:
        """The rows, columns separated by |, without a final newline."""
        return self.exec(pod, "psql", "--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--set=ON_ERROR_STOP=1",
                         "--username=postgres", f"--dbname={database}", "--file=-",
                         stdin=statements).removesuffix("\n")

    def dump(self, pod: str) -> str:
        """All databases and roles as SQL; the same for two servers with the same content."""
        return sql_of_dump(self.exec(pod, "pg_dumpall", "--username=postgres"))

    def logs(self, pod: str, container: str, *options: str) -> str:
        return self.kubectl("logs", pod, f"--container={container}", *options)

    # When something went wrong

    def report(self) -> str:
        """All that helps to understand the state of the namespace."""
        kinds = "all,persistentvolumeclaims,configmaps"
        if "lifeboat.dev" in self.client.kubectl("api-versions"):
            kinds += ",lifeboat"
        parts = [self.kubectl("get", kinds, "--output=wide", check=False),
                 self.kubectl("describe", kinds, check=False),
                 self.kubectl("get", "events", "--sort-by=.metadata.creationTimestamp", check=False)]
        for pod in self.list("Pod"):
            name = pod["metadata"]["name"]
            for container in pod["spec"].get("initContainers", []) + pod["spec"]["containers"]:
                parts.append(f"--- log of {name} {container['name']}\n"
                             + self.kubectl("logs", name, f"--container={container['name']}", "--tail=100",
                                            check=False))
        return "\n".join(parts)


def sql_of_dump(text: str) -> str:
    """A dump without what differs between two dumps of the same."""
    return "\n".join(line for line in text.splitlines()
                     if line and not line.startswith(("--", "\\restrict", "\\unrestrict")))


def assert_same_lines(ours: str, theirs: str) -> None:
    """Of two dumps, which are too long to be shown when they differ."""
    different = [f"- {their}\n+ {our}" for their, our in itertools.zip_longest(theirs.splitlines(), ours.splitlines())
                 if their != our]
    assert not different, "\n".join(different[:5])


def condition_of(found: dict, type: str) -> dict:
    """The condition of that type in an object's status, or an empty one."""
    conditions = (found.get("status") or {}).get("conditions") or []
    return next((condition for condition in conditions if condition["type"] == type), {})
