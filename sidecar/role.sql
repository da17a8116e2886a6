-- SPDX-License-Identifier: Apache-2.0
--
-- Creates the role "lifeboat", with which Lifeboat's sidecar logs in, and gives it exactly what a
-- backup needs. It is no superuser and can read no table.
--
-- Run it as a superuser, on the primary, in the database that the policy names in
-- spec.connection.database: the rights on the two functions are rights in that database. Running it
-- again does no harm.
--
--     psql -X -d postgres -f role.sql
--     psql -X -d postgres -c '\password lifeboat'
--
-- The password then goes into the key of the policy's Secret that spec.connection.passwordKey names.
--
-- pg_hba.conf needs two lines, above others that fit, and a reload. One is for the database, one for
-- streaming the write-ahead log. The sidecar shares the pod with PostgreSQL and comes from there:
--
--     host  postgres     lifeboat  127.0.0.1/32  scram-sha-256
--     host  replication  lifeboat  127.0.0.1/32  scram-sha-256
--
-- or, through the Unix socket:
--
--     local postgres     lifeboat                scram-sha-256
--     local replication  lifeboat                scram-sha-256

\set ON_ERROR_STOP on

-- Nobody's objects may stand in for those that are meant here.
SET search_path = pg_catalog;

BEGIN;

SELECT 'CREATE ROLE lifeboat'
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS r
                  WHERE r.rolname OPERATOR(pg_catalog.=) 'lifeboat') \gexec

-- REPLICATION: streaming, and to make, advance and drop replication slots
ALTER ROLE lifeboat LOGIN REPLICATION
    NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS INHERIT;

-- data_directory and other settings that are hidden from most; the state of replication
GRANT pg_read_all_settings, pg_monitor TO lifeboat;

GRANT EXECUTE ON FUNCTION pg_catalog.pg_backup_start(text, boolean) TO lifeboat;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_backup_stop(boolean) TO lifeboat;

COMMENT ON ROLE lifeboat IS 'Lifeboat backs up this database system as this role';

COMMIT;
