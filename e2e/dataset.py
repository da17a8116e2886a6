# SPDX-License-Identifier: Apache-2.0
"""A database with everything that a backup could forget."""

from postgres import Postgres

SMALL_TABLES = 5000

_OBJECTS = """
    CREATE TABLE orders (id int PRIMARY KEY, customer text, at timestamptz DEFAULT now());
    INSERT INTO orders SELECT i, 'customer ' || i % 97 FROM generate_series(1, 20000) i;
    CREATE INDEX ON orders (customer) TABLESPACE large;

    CREATE TABLE documents (id int PRIMARY KEY, body text) TABLESPACE fast;
    ALTER TABLE documents ALTER body SET STORAGE EXTERNAL; -- in its TOAST table, not compressed
    INSERT INTO documents SELECT i, string_agg(md5(i * 1000 + j || ''), '')
    FROM generate_series(1, 300) i, generate_series(1, 800) j GROUP BY i;

    SELECT lo_from_bytea(0, convert_to(repeat('large object ' || i || ' ', 5000), 'UTF8')) FROM generate_series(1, 40) i;

    CREATE UNLOGGED TABLE sessions (id int PRIMARY KEY, data text);
    INSERT INTO sessions SELECT i, repeat('x', 100) FROM generate_series(1, 5000) i;

    CREATE SEQUENCE invoices START 4711;
    SELECT nextval('invoices');
    CREATE MATERIALIZED VIEW customers AS SELECT customer, count(*) FROM orders GROUP BY customer;
    CREATE FUNCTION greet(text) RETURNS text LANGUAGE sql AS $$ SELECT 'Hello ' || $1 $$;
    CREATE ROLE accountant;
    GRANT SELECT ON orders TO accountant;
"""

_SMALL_TABLES = """
    DO $$ BEGIN
        FOR i IN {first}..{last} LOOP
            EXECUTE format('CREATE TABLE small_%s (id int PRIMARY KEY)', i);
            EXECUTE format('INSERT INTO small_%s VALUES (%s)', i, i);
        END LOOP;
    END $$;
"""


def fill(server: Postgres) -> None:
    """Two tablespaces, three databases: `postgres`, `many` with the small tables, `bench` with those of pgbench."""
    for name in ("fast", "large"):
        server.add_tablespace(name)
    server.sql(_OBJECTS)
    server.sql("CREATE DATABASE many")
    for first in range(1, SMALL_TABLES, 1000):  # a transaction each: locks are limited
        server.sql(_SMALL_TABLES.format(first=first, last=first + 999), database="many")
    server.sql("CREATE DATABASE bench TABLESPACE fast")
    server.pgbench("--initialize", "--quiet", "--scale=3", "--index-tablespace=large", database="bench")


def balances(server: Postgres) -> set[str]:
    """pgbench changes an account, its teller and its branch by the same sum and writes that into the history: as long
    as every transaction is there whole or not at all, this is one sum."""
    return set(server.sql("""
        SELECT sum(abalance) FROM pgbench_accounts UNION ALL SELECT sum(tbalance) FROM pgbench_tellers UNION ALL
        SELECT sum(bbalance) FROM pgbench_branches UNION ALL SELECT coalesce(sum(delta), 0) FROM pgbench_history
    """, database="bench").splitlines())
