# SPDX-License-Identifier: Apache-2.0
"""The cluster of the scenarios is what they take it for."""

import signal

import host
from shop import PRIMARY, STANDBY

S_CLIENT = "openssl s_client -verify_return_error -CAfile /tmp/ca.crt -connect {0} -servername {0} </dev/null"


def test_a_standby_in_the_other_region_follows_its_primary(namespace, database):
    assert namespace.sql(STANDBY, "SELECT pg_is_in_recovery()") == "t"
    assert namespace.sql(PRIMARY, "SHOW data_checksums") == "on"
    namespace.sql(PRIMARY, "UPDATE orders SET total = total + 1 WHERE id % 7 = 0")
    database.wait_for_standby()
    assert namespace.dump(STANDBY) == namespace.dump(PRIMARY)
    nodes = {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in namespace.list("Pod", "app=shop")}
    assert nodes[PRIMARY] != nodes[STANDBY]


def test_a_pod_finds_services_and_trusts_the_stores_of_both_regions(site, namespace, database):
    assert namespace.exec(STANDBY, "getent", "hosts", "kubernetes.default.svc")
    assert namespace.exec(STANDBY, "getent", "hosts", f"{PRIMARY}.shop")
    for region, store in site.stores.items():
        namespace.exec(STANDBY, "sh", "-c", "cat >/tmp/ca.crt", stdin=store.ca.read_text())
        address = site.endpoints[region].removeprefix("https://")
        assert "Verify return code: 0" in namespace.exec(STANDBY, "sh", "-c", S_CLIENT.format(address))
        store.client().put_object(Bucket=site.buckets[region], Key="probe", Body=b"probe")
        assert "probe" in store.keys(site.buckets[region])
        store.client().delete_object(Bucket=site.buckets[region], Key="probe")


def test_a_pod_sees_new_content_of_a_config_map_soon(namespace, database):
    namespace.kubectl("patch", "configmap", "shop", "--type=merge", '--patch={"data": {"probe": "new"}}')
    host.wait_until(lambda: namespace.exec(PRIMARY, "cat", "/etc/shop/probe", check=False) == "new",
                    "the pod sees it")


def test_pods_survive_what_happens_to_kubernetes(machinery, namespace, database):
    node = machinery.nodes["us"]
    node.stop("kubelet", signal.SIGKILL)
    machinery.restart_api_server()
    namespace.sql(PRIMARY, "INSERT INTO orders VALUES (0, 'written without a kubelet', 1)")
    node.start_kubelet()
    namespace.wait_until_answering(STANDBY)
    database.wait_for_standby()
    machinery.cut()
    namespace.sql(PRIMARY, "DELETE FROM orders WHERE id = 0")
    machinery.mend()
    database.wait_for_standby()


def test_a_volume_whose_claim_is_gone_is_replaced_by_an_empty_one(machinery, namespace):
    namespace.apply("""
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: writer}
spec:
  restartPolicy: Never
  nodeSelector: {topology.kubernetes.io/region: us}
  securityContext: {fsGroup: 999}
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
  containers:
  - name: postgresql
    image: postgres:15
    command: [touch, /data/file]
    volumeMounts: [{name: data, mountPath: /data}]
""")
    namespace.wait_for("Pod", "writer", lambda pod: pod["status"]["phase"] == "Succeeded", "has ended well")
    volume = namespace.get("PersistentVolumeClaim", "data")["spec"]["volumeName"]
    directory = machinery.volume(volume)
    assert volume.startswith("us-") and (directory / "file").exists()
    namespace.kubectl("delete", "pod/writer", "persistentvolumeclaim/data")
    namespace.wait_for("PersistentVolume", volume, lambda found: found["status"]["phase"] == "Released", "is released")
    machinery.renew_volumes()
    namespace.wait_for("PersistentVolume", volume, lambda found: found["status"]["phase"] == "Available", "is free")
    assert not (directory / "file").exists()
