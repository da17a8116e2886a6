# SPDX-License-Identifier: Apache-2.0
"""The sidecar must never hurt the database: whatever it lacks, whatever becomes of it, PostgreSQL starts, serves and
stops as it does without one. Each test is a sentence of that promise, on real kubelets."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import host
import processes
import pytest
from kube_client import Namespace, condition_of
from processes import SidecarProcesses
from protection import SLOWLY, Protection
from shop import PRIMARY, STANDBY, Shop, assert_ended_well

BROKEN = {
    "nothing of it can be read": {"policy.yaml": "{", "ca.crt": "no certificate", "endpoint": "nowhere"},
    "the policy cannot be obeyed, the operator is not there": {
        "policy.yaml": """
apiVersion: lifeboat.dev/v1alpha1
kind: BackupPolicy
metadata: {name: shop, namespace: shop, uid: 00000000-0000-0000-0000-000000000000, generation: 1}
spec: {regions: [{name: eu, s3: {bucket: none, credentials: no/such/file}}], encryption: {keys: [missing]}}
""", "endpoint": "lifeboat-channel.nowhere.svc:8443"},
}
LITTLE_MEMORY = "64Mi"  # enough for the sidecar, not for a backup
GREEDY = {"compression": {"level": 19}, "parallelism": {"workers": 32, "uploads": 8}}


# What a database shows of what befell it

def state_of(namespace: Namespace, pod: str, name: str) -> dict:
    """Of a container, as the kubelet says it."""
    status = namespace.get("Pod", pod)["status"]
    every = [*status.get("initContainerStatuses", []), *status["containerStatuses"]]
    return next(found for found in every if found["name"] == name)


def ready_since(namespace: Namespace, pod: str) -> tuple[str, str]:
    ready = condition_of(namespace.get("Pod", pod), "Ready")
    return ready["status"], ready["lastTransitionTime"]


@contextmanager
def unmoved(namespace: Namespace, pod: str) -> Iterator[None]:
    """While the block runs, one client's session lasts, and neither PostgreSQL nor its container is started anew."""
    argv = ["psql", "--username=postgres", "--quiet", "--command=SET application_name = 'client'",
            "--command=SELECT pg_sleep(3600)"]
    life = """SELECT pg_postmaster_start_time(), (SELECT pid || ' ' || backend_start FROM pg_stat_activity
              WHERE application_name = 'client')"""

    def is_there() -> bool:
        return not namespace.sql(pod, life).endswith("|")

    with namespace.exec_in_background(pod, *argv) as client:
        host.wait_until(is_there, "the client has its session")
        before = namespace.sql(pod, life), state_of(namespace, pod, "postgresql")["containerID"]
        yield
        assert (namespace.sql(pod, life), state_of(namespace, pod, "postgresql")["containerID"]) == before
        assert client.poll() is None
    namespace.sql(pod, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'client'")


def restart(namespace: Namespace, pod: str) -> None:
    """Returns when the next one is ready."""
    namespace.delete_and_watch(pod)
    namespace.wait_until_ready(pod)


# What the tests share

@pytest.fixture(scope="module")
def shop(shared_namespace) -> Shop:
    """Its pods have a sidecar, and that has nothing: no policy, no Secret, so no operator."""
    return Shop(shared_namespace).start()


@pytest.fixture(scope="module")
def protection(site, installation, shop) -> Protection:
    shop.make_lifeboat_secret(site.stores)
    made = Protection(shop, site.stores, site.buckets, site.endpoints)
    made.apply_policy()
    made.wait_until_ready()
    return made


@pytest.fixture
def of_standby(machinery, shop) -> SidecarProcesses:
    return SidecarProcesses(machinery, shop.namespace, STANDBY)


pytestmark = pytest.mark.usefixtures("explained")


def test_postgresql_runs_beside_a_sidecar_that_has_nothing(shop):
    for pod in (PRIMARY, STANDBY):
        sidecar = state_of(shop.namespace, pod, "lifeboat")
        assert "running" in sidecar["state"] and sidecar["restartCount"] == 0
        [container] = shop.namespace.get("Pod", pod)["spec"]["initContainers"]
        assert not {"startupProbe", "readinessProbe", "livenessProbe"} & container.keys()
        assert ready_since(shop.namespace, pod)[0] == "True"


@pytest.mark.parametrize("what", BROKEN)
def test_postgresql_starts_whatever_the_sidecar_is_given(shop, what):
    namespace = shop.namespace
    namespace.apply([
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "lifeboat-shop"}, "data": BROKEN[what]},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "lifeboat-shop"}, "stringData": {"k1": "no key"}}])
    try:
        restart(namespace, PRIMARY)
        sidecar = state_of(namespace, PRIMARY, "lifeboat")
        assert "running" in sidecar["state"] and sidecar["restartCount"] == 0
        assert "Something is wrong with the configuration" in namespace.logs(PRIMARY, "lifeboat")
    finally:
        namespace.delete("ConfigMap", "lifeboat-shop")
        namespace.delete("Secret", "lifeboat-shop")


def test_what_was_missing_may_come_and_no_pod_is_restarted_for_it(site, installation, shop, request):
    before = {pod: ready_since(shop.namespace, pod) for pod in (PRIMARY, STANDBY)}
    with unmoved(shop.namespace, PRIMARY), unmoved(shop.namespace, STANDBY):
        request.getfixturevalue("protection")
    assert {pod: ready_since(shop.namespace, pod) for pod in before} == before


def test_the_sidecar_can_write_nothing_where_the_database_lies(protection, of_standby):
    data = processes.mounts(of_standby.server(), "/var/lib/postgresql")
    assert data and not any(data.values()), data
    assert not any(processes.mounts(of_standby.server(), "/etc/lifeboat").values())


def test_a_sidecar_that_crashes_again_and_again_leaves_the_pod_ready(protection, of_standby):
    namespace = protection.namespace
    before = ready_since(namespace, STANDBY)
    restarts = state_of(namespace, STANDBY, "lifeboat")["restartCount"]
    with unmoved(namespace, STANDBY):
        for _ in range(4):
            of_standby.kill_server()
        protection.wait_until_succeeded(protection.back_up("after-crashes"))
    assert ready_since(namespace, STANDBY) == before
    assert state_of(namespace, STANDBY, "lifeboat")["restartCount"] == restarts


def test_a_sidecar_that_is_killed_leaves_no_backup_mode_and_no_wal_behind(protection, of_standby):
    namespace = protection.namespace
    left = """SELECT (SELECT count(*) FROM pg_replication_slots) +
              (SELECT count(*) FROM pg_stat_activity WHERE usename = 'lifeboat' AND query ~ 'pg_backup')"""
    with unmoved(namespace, STANDBY):
        protection.back_up("killed")
        job = of_standby.job()
        host.wait_until(lambda: namespace.sql(STANDBY, left) == "2", "the backup has its slot and its session")
        with processes.held(job):
            of_standby.kill()
            host.wait_until(lambda: namespace.sql(STANDBY, left) == "0", "nothing of it is left")
        host.wait_until(lambda: state_of(namespace, STANDBY, "lifeboat")["restartCount"] > 0, "the sidecar is back")
        namespace.wait_until_ready(STANDBY)
        namespace.delete("Backup", "killed")


def test_a_backup_that_needs_too_much_memory_takes_nothing_else_along(protection, of_standby):
    namespace = protection.namespace
    set_memory(namespace, LITTLE_MEMORY)
    protection.apply_policy(**GREEDY)
    protection.wait_until_ready()
    with unmoved(namespace, STANDBY):
        protection.back_up("greedy")
        host.wait_until(lambda: any("reason" in found for found in protection.attempts("greedy")),
                        "the first attempt has ended")
        attempt = protection.attempts("greedy")[0]

        def was_killed() -> bool:
            last = state_of(namespace, STANDBY, "lifeboat").get("lastState", {}).get("terminated", {})
            return last.get("reason") == "OOMKilled"

        # Where the kernel kills whole containers (cgroup v2), the kubelet says so; else the sidecar does.
        if "out of memory" not in attempt["error"]:
            host.wait_until(was_killed, "the kubelet says why the sidecar ended")
        namespace.delete("Backup", "greedy")
    protection.apply_policy(compression={"level": 3}, parallelism={"workers": 2, "uploads": 2})
    set_memory(namespace, "512Mi")
    protection.wait_until_ready()


def set_memory(namespace: Namespace, limit: str) -> None:
    """Of the standby's sidecar."""
    patch = [{"op": "replace", "path": f"/spec/template/spec/initContainers/0/resources/{kind}/memory", "value": value}
             for kind, value in (("requests", LITTLE_MEMORY), ("limits", limit))]
    namespace.kubectl("patch", "statefulset", "shop-us", "--type=json", f"--patch={json.dumps(patch)}")
    namespace.kubectl("rollout", "status", "statefulset/shop-us", "--timeout=120s")


@pytest.mark.parametrize("pod", [STANDBY, PRIMARY])
def test_a_backup_that_hangs_does_not_hold_up_a_shutdown(machinery, protection, pod):
    namespace = protection.namespace
    protection.apply_policy(source={"prefer": "Replica" if pod == STANDBY else "Primary"}, **SLOWLY)
    protection.wait_until_ready()
    name = protection.back_up(f"hanging-on-{pod}")
    with processes.held(SidecarProcesses(machinery, namespace, pod).job()):
        assert_ended_well(namespace.delete_and_watch(pod))
    namespace.wait_until_ready(pod)
    assert "database system was shut down" in namespace.logs(pod, "postgresql")
    assert "automatic recovery in progress" not in namespace.logs(pod, "postgresql")
    assert protection.attempts(name)[0]["reason"] in ("Canceled", "PodGone")
    namespace.delete("Backup", name)


def test_postgresql_shuts_down_in_time_without_a_backup_too(protection):
    namespace = protection.namespace
    assert_ended_well(namespace.delete_and_watch(PRIMARY))
    namespace.wait_until_ready(PRIMARY)
    assert "database system was shut down at" in namespace.logs(PRIMARY, "postgresql")
    protection.wait_until_ready()


def test_the_sidecars_image_can_be_changed_under_a_running_database(protection, program, explained):
    namespace = protection.namespace
    image = namespace.get("Pod", STANDBY)["spec"]["initContainers"][0]["image"]
    with unmoved(namespace, STANDBY):
        namespace.kubectl("set", "image", f"pod/{STANDBY}", "lifeboat=lifeboat-sidecar:nowhere")
        namespace.wait_for("BackupPolicy", "shop", lambda policy: "'lifeboat-sidecar:nowhere' is not started" in message_about(policy, STANDBY),
                           "says that the image cannot be had")
        assert condition_of(protection.policy(), "Ready")["reason"] == "Degraded"
        namespace.kubectl("set", "image", f"pod/{STANDBY}", f"lifeboat={image}")
        protection.wait_until_ready()
    protection.wait_until_succeeded(protection.back_up("last"))
    protection.check(program, "last")
    protection.check_restore(program, "last", PRIMARY)


def message_about(policy: dict, pod: str) -> str:
    return next((found.get("message") or "" for found in policy["status"].get("pods") or [] if found["name"] == pod),
                "")
