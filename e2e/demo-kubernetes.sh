# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154 # part of e2e/demo
# The demonstration on Kubernetes.

in_demo() { # in_demo COMMAND: in the cluster's network, with kubectl and helm
    (cd "$demo" && "$checkout/e2e/cluster" exec bash -o pipefail -c "$1" </dev/null)
}

clean_up() {
    local status=$?
    trap '' INT TERM
    if [ "$status" -ne 0 ] && [ -n "${brought_up-}" ]; then
        echo "The demo failed. What there is to read:" >&2
        in_demo 'kubectl get lifeboat,pods -A; kubectl describe lifeboat; kubectl logs -n lifeboat-system deployment/lifeboat-operator --tail 50' >&2 || true
    fi
    if [ -n "${KEEP-}" ] && [ "$status" -eq 0 ]; then
        echo "Kept $demo and the cluster: e2e/cluster kubectl get pods; e2e/cluster down removes it."
    else
        [ -z "${brought_up-}" ] || "$checkout/e2e/cluster" down
        rm -rf "$demo"
    fi
    exit "$status"
}

prepare() {
    if [ "$(id -u)" -ne 0 ]; then
        echo 'e2e/demo: only root can make network namespaces and run kubelets: run it as root, or see --local' >&2
        exit 1
    fi
    "$checkout/e2e/setup" --cluster
    "$checkout/e2e/tools" venv versitygw kubernetes coredns helm postgres-image
    build
    say 'Make the images: one program each, with the libraries that it needs'
    echo "$prompt e2e/images --tests"
    "$checkout/e2e/images" --tests
    say 'Bring up a Kubernetes with a node and an S3 server in each of two regions, eu and us'
    echo "$prompt e2e/cluster up && e2e/cluster load"
    "$checkout/e2e/cluster" up
    brought_up=yes
    "$checkout/e2e/cluster" load
    ln -s "$checkout/charts" "$checkout/docs" "$checkout/sidecar" "$demo"
}

write_policy() {
    cat >"$demo/policy.yaml" <<'END'
apiVersion: lifeboat.dev/v1alpha1
kind: BackupPolicy
metadata:
  name: shop
spec:
  connection:
    passwordKey: password
  source:
    prefer: Replica
  schedules:
  - name: often
    type: Incremental
    cron: "* * * * *"
  regions:
  - name: eu
    s3: {bucket: lifeboat-eu, endpoint: "https://s3.eu.test:7070", pathStyle: true, credentials: eu, caKey: eu.ca.crt}
  - name: us
    s3: {bucket: lifeboat-us, endpoint: "https://s3.us.test:7070", pathStyle: true, credentials: us, caKey: us.ca.crt}
  quorum: 2
  encryption:
    keys: [k1]
END
}

write_restore() {
    cat >"$demo/restore.yaml" <<'END'
apiVersion: lifeboat.dev/v1alpha1
kind: RestoreJob
metadata:
  name: shop-copy
spec:
  source:
    policyRef: {name: shop}
    backup: Latest
    region: us
  destination:
    newVolumeClaim: {name: shop-copy, size: 5Gi}
  pod:
    runAsUser: 999
END
}

write_copy() {
    cat >"$demo/copy.yaml" <<'END'
apiVersion: v1
kind: Pod
metadata:
  name: shop-copy
spec:
  securityContext: {runAsUser: 999, runAsGroup: 999, fsGroup: 999, fsGroupChangePolicy: OnRootMismatch}
  containers:
  - name: postgresql
    image: postgres:15
    command: [postgres]
    env: [{name: PGDATA, value: /restored/pgdata}]
    readinessProbe: {exec: {command: [pg_isready, --quiet, --username=postgres]}, periodSeconds: 1}
    volumeMounts:
    - {name: data, mountPath: /restored}
    - {name: socket, mountPath: /var/run/postgresql}
  volumes:
  - {name: data, persistentVolumeClaim: {claimName: shop-copy}}
  - {name: socket, emptyDir: {}}
END
}

psql_in() { # psql_in POD: the command that a person would type
    echo "kubectl exec -i $1 -c postgresql -- psql -U postgres"
}

summary="SELECT count(*) AS orders, sum(total) AS turnover, md5(string_agg(o::text, '' ORDER BY id)) FROM orders o"

tell_installation() {
    run 'kubectl get nodes -L topology.kubernetes.io/region'
    say 'Install the operator; it may make pods for restores in the namespace default'
    run "helm install lifeboat charts/lifeboat -n lifeboat-system --create-namespace --set 'restore.namespaces={default}'"
    run 'kubectl -n lifeboat-system rollout status deployment/lifeboat-operator --timeout 120s'
    run 'kubectl -n lifeboat-system get pods'
}

tell_database() {
    say 'A PostgreSQL primary in eu that streams to a standby in us: any pair of StatefulSets, with a sidecar'
    run "kubectl create secret generic shop --from-literal=postgres=\$(openssl rand -hex 16) --from-literal=standby=\$(openssl rand -hex 16)"
    run 'kubectl apply -f docs/examples/two-regions.yaml'
    run 'kubectl rollout status statefulset/shop-eu --timeout 180s && kubectl rollout status statefulset/shop-us --timeout 180s'
    run "$(psql_in shop-eu-0) -q <<'END'
CREATE TABLE orders (id int PRIMARY KEY, customer text, total numeric(10, 2));
INSERT INTO orders SELECT id, 'customer ' || id % 997, id * 7919 % 10000 / 100.0 FROM generate_series(1, 199999) id;
INSERT INTO orders VALUES (200000, 'Ada Lovelace, 12 St James Square', 18.15);
END"
    say 'The role that Lifeboat logs in as: no superuser'
    run "openssl rand -hex 16 | tr -d '\\n' > password"
    run "$(psql_in shop-eu-0) -q < sidecar/role.sql"
    run "(echo \"\\\\set password '\$(cat password)'\"; echo \"ALTER ROLE lifeboat PASSWORD :'password'\") | $(psql_in shop-eu-0) -q"
}

tell_policy() {
    say 'One Secret with all secret material: the password, a key, and the credentials of the two buckets'
    run 'openssl rand -base64 32 > k1'
    echo "$prompt kubectl create secret generic lifeboat-shop --from-file=password --from-file=k1 \\"
    echo '    --from-file=eu.access-key-id --from-file=eu.secret-access-key --from-file=eu.ca.crt …'
    "$checkout/e2e/cluster" credentials "$demo"
    # shellcheck disable=SC2016 # the demo's shell expands it
    in_demo 'kubectl create secret generic lifeboat-shop $(for f in password k1 eu.* us.*; do echo --from-file=$f; done)'
    say 'A policy: every minute, from the standby, into both regions, and no success before both have it'
    write_policy
    run 'cat policy.yaml'
    run 'kubectl apply -f policy.yaml'
    run 'kubectl wait --for=condition=Ready --timeout=180s lbp/shop'
    run 'kubectl get lbp'
}

tell_backups() {
    say 'A minute later the first scheduled backup is there'
    run "kubectl wait --for=create --timeout=120s lbk -l lifeboat.dev/policy=shop"
    run "kubectl wait --for=condition=Succeeded --timeout=180s lbk -l lifeboat.dev/policy=shop"
    run 'kubectl get lbk'
    say 'A backup by hand'
    run 'kubectl create -f docs/examples/backup.yaml'
    run 'kubectl wait --for=condition=Succeeded --timeout=180s lbk --all'
    run 'kubectl get lbk -o wide'
    run 'kubectl get lbp -o wide'
    run "kubectl get events --field-selector involvedObject.kind=Backup"
}

tell_restore() {
    say 'Disaster: somebody deletes half of the orders, and the standby obeys'
    run "$(psql_in shop-eu-0) -c \"$summary\" | tee before"
    run "kubectl patch lbp shop --type merge -p '{\"spec\":{\"suspend\":true}}'"
    run "$(psql_in shop-eu-0) -c 'DELETE FROM orders WHERE id % 2 = 0'"
    say 'Restore the newest backup from the bucket in us into a new volume claim'
    write_restore
    run 'cat restore.yaml'
    run 'kubectl apply -f restore.yaml'
    # a new claim is bound when its pod is scheduled, and that follows the claim: any region will do
    run 'kubectl wait --for=condition=Succeeded --timeout=180s lrj/shop-copy'
    run 'kubectl get lrj'
    run 'kubectl get pvc shop-copy'
    say "Start the user's own PostgreSQL image on it"
    write_copy
    run 'kubectl apply -f copy.yaml'
    run 'kubectl wait --for=condition=Ready --timeout=120s pod/shop-copy'
    say 'The rows are back: the same number, the same sum, the same checksum'
    run "$(psql_in shop-copy) -c \"$summary\" | tee after"
    run 'cmp before after'
}

tell() {
    tell_installation
    tell_database
    tell_policy
    tell_backups
    tell_restore
}
