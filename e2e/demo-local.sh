# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154 # part of e2e/demo
# The demonstration without Kubernetes.

# As whom everything runs: PostgreSQL refuses root.
as_user() {
    if [ "$(id -u)" -eq 0 ]; then
        runuser -u postgres -- "$@"
    else
        "$@"
    fi
}

in_demo() { # in_demo COMMAND
    as_user env --ignore-environment --chdir="$demo" PATH="$demo/bin:$postgresql:$PATH" HOME="$demo" PGHOST="$demo" \
        TERM="${TERM-dumb}" LC_ALL=C.UTF-8 bash -o pipefail -c "$1" </dev/null
}

clean_up() {
    local status=$? data
    trap '' INT TERM
    for data in data restored; do
        [ ! -e "$demo/$data/postmaster.pid" ] ||
            in_demo "pg_ctl stop --silent --mode immediate --pgdata $data" || true
    done
    if [ -n "${KEEP-}" ]; then
        echo "Kept $demo"
    else
        rm -rf "$demo"
    fi
    [ "$status" -eq 0 ] || echo "The demo failed." >&2
    exit "$status"
}

prepare() {
    "$checkout/e2e/setup"
    build
    postgresql=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort --version-sort | tail -1)
    mkdir "$demo/bin"
    cp "$checkout/build/release/bin/lifeboat-sidecar" "$checkout/sidecar/role.sql" "$demo/bin"
    mv "$demo/bin/role.sql" "$demo"
    [ "$(id -u)" -ne 0 ] || chown postgres: "$demo"
}

write_policy() {
    echo "$prompt cat policy.yaml"
    tee "$demo/policy.yaml" <<END
apiVersion: lifeboat.dev/v1alpha1
kind: BackupPolicy
metadata:
  name: shop
spec:
  connection:
    passwordKey: password
  regions:
  - name: here
    file:
      path: $demo/bucket
  encryption:
    keys: [k1]
END
}

summary="SELECT count(*) AS orders, sum(total) AS turnover, md5(string_agg(o::text, '' ORDER BY id)) FROM orders o"

tell() {
    say 'A throw-away PostgreSQL with 200,000 orders'
    echo "$prompt cd $demo && export PGHOST=\$PWD"
    run 'initdb --pgdata data --username postgres --auth trust --data-checksums --no-sync >initdb.log'
    run "pg_ctl start --silent --pgdata data --log postgresql.log --options \"-k \$PWD -c listen_addresses=\""
    run "psql -U postgres -q <<'END'
CREATE TABLE orders (id int PRIMARY KEY, customer text, total numeric(10, 2));
INSERT INTO orders SELECT id, 'customer ' || id % 997, id * 7919 % 10000 / 100.0 FROM generate_series(1, 199999) id;
INSERT INTO orders VALUES (200000, 'Ada Lovelace, 12 St James Square', 18.15);
END"
    run "psql -U postgres -c \"$summary\" | tee before"

    say 'Its administrator makes a role that may do what a backup needs, no more, and lets it in'
    run 'mkdir -m 700 secrets && (umask 077 && openssl rand -hex 16 >secrets/password)'
    run 'psql -U postgres -qf role.sql'
    run "psql -U postgres -q <<'END'
\\set password \`cat secrets/password\`
ALTER ROLE lifeboat PASSWORD :'password';
END"
    run "sed -i '1i local postgres    lifeboat scram-sha-256\\nlocal replication lifeboat scram-sha-256' data/pg_hba.conf"
    run 'pg_ctl reload --silent --pgdata data'

    say 'A key that never leaves this directory, a bucket, a policy'
    run '(umask 077 && openssl rand -base64 32 >secrets/k1)'
    run 'mkdir bucket'
    write_policy

    say 'Back up'
    run 'lifeboat-sidecar backup -f policy.yaml --secrets secrets'
    run 'lifeboat-sidecar list -f policy.yaml --secrets secrets'
    run 'lifeboat-sidecar show -f policy.yaml --secrets secrets'

    say 'The bucket is of no use to others: a row that lies in the data directory as plain text cannot be found there'
    run 'find bucket -type f'
    run "grep -rlaF 'Ada Lovelace' data/base"
    run "! grep -rlaF 'Ada Lovelace' bucket"

    say 'Damage: somebody deletes half of the orders, and then the disk is lost'
    run "psql -U postgres -c 'DELETE FROM orders WHERE id % 2 = 0'"
    run 'pg_ctl stop --silent --mode immediate --pgdata data && rm -r data'

    say "Restore into a new directory, and let PostgreSQL's own program check what came back"
    run 'lifeboat-sidecar restore -f policy.yaml --secrets secrets --to restored'
    run 'pg_verifybackup restored'
    run "pg_ctl start --silent --pgdata restored --log restored.log --options \"-k \$PWD -c listen_addresses=\""

    say 'The rows are back: the same number, the same sum, the same checksum'
    run "psql -U postgres -c \"$summary\" | tee after"
    run 'cmp before after'
}
