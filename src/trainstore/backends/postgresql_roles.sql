-- The roles of a trainstore store on PostgreSQL, each with the least that it needs. Made by: trainstore db roles
--
--   {owner}: owns the tables, changes them (trainstore db upgrade) and deletes runs. Nobody logs in as it.
--   {writer}: records trainings: SELECT, INSERT, UPDATE. No DELETE, TRUNCATE, DDL or temporary tables.
--   {reader}: looks at runs: SELECT.
--
-- Run it in the store's database, which should be a database of its own: PUBLIC loses every right on it. As a
-- superuser, or as the database's owner with CREATEROLE:
--
--   trainstore db roles | psql --set ON_ERROR_STOP=1 DATABASE
--
-- It may be run before the tables are made and after, and again at any time: what it says is true afterwards. After
-- the first run, and the first "trainstore db upgrade", run it once more: then the writer cannot change the schema's
-- version either. Tables of later versions get their rights by themselves.
--
-- Then give the roles to people and machines:
--
--   CREATE ROLE trainer LOGIN PASSWORD '…' IN ROLE {writer};
--   CREATE ROLE notebook LOGIN PASSWORD '…' IN ROLE {reader};
--   CREATE ROLE admin LOGIN PASSWORD '…' IN ROLE {owner};
--   ALTER ROLE admin SET role = '{owner}';  -- so that the tables it makes belong to {owner}
--
-- Logins that share {writer} can change each other's rows. What keeps them apart is a database each, or row-level
-- security of your own.

BEGIN;

DO $trainstore$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['{owner}', '{writer}', '{reader}'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE', name);
        END IF;
    END LOOP;
    -- Giving tables away takes a member of the role that gets them.
    IF NOT pg_has_role(current_user, '{owner}', 'MEMBER') THEN
        EXECUTE format('GRANT %I TO %I', '{owner}', current_user);
    END IF;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC, "{writer}", "{reader}"', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO "{owner}", "{writer}", "{reader}"', current_database());
    -- Unqualified names mean this schema, whatever else somebody makes.
    EXECUTE format('ALTER DATABASE %I SET search_path = "{schema}"', current_database());
END
$trainstore$;

CREATE SCHEMA IF NOT EXISTS "{schema}";
REVOKE ALL ON SCHEMA "{schema}" FROM PUBLIC, "{writer}", "{reader}";
GRANT USAGE, CREATE ON SCHEMA "{schema}" TO "{owner}";
GRANT USAGE ON SCHEMA "{schema}" TO "{writer}", "{reader}";

-- Tables that the owner makes from now on.
ALTER DEFAULT PRIVILEGES FOR ROLE "{owner}" IN SCHEMA "{schema}" GRANT SELECT, INSERT, UPDATE ON TABLES TO "{writer}";
ALTER DEFAULT PRIVILEGES FOR ROLE "{owner}" IN SCHEMA "{schema}" GRANT USAGE ON SEQUENCES TO "{writer}";
ALTER DEFAULT PRIVILEGES FOR ROLE "{owner}" IN SCHEMA "{schema}" GRANT SELECT ON TABLES TO "{reader}";

-- Those that are there.
DO $trainstore$
DECLARE
    ours CONSTANT text[] := ARRAY[{tables}];
    fixed CONSTANT text[] := ARRAY[{fixed}];  -- no training writes them
    item record;
BEGIN
    FOR item IN
        SELECT c.oid::regclass AS name, c.relname, c.relowner FROM pg_class c
        WHERE c.relnamespace = '"{schema}"'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND c.relname = ANY (ours)
    LOOP
        IF item.relowner <> '"{owner}"'::regrole THEN
            EXECUTE format('ALTER TABLE %s OWNER TO "{owner}"', item.name);
        END IF;
        EXECUTE format('REVOKE ALL ON TABLE %s FROM PUBLIC, "{writer}", "{reader}"', item.name);
        EXECUTE format('GRANT SELECT ON TABLE %s TO "{writer}", "{reader}"', item.name);
        IF item.relname <> ALL (fixed) THEN
            EXECUTE format('GRANT INSERT, UPDATE ON TABLE %s TO "{writer}"', item.name);
        END IF;
    END LOOP;
    FOR item IN
        SELECT s.oid::regclass AS name FROM pg_class s
        JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.deptype IN ('a', 'i')
        JOIN pg_class c ON d.refclassid = 'pg_class'::regclass AND c.oid = d.refobjid
        WHERE s.relkind = 'S' AND c.relnamespace = '"{schema}"'::regnamespace AND c.relname = ANY (ours)
    LOOP
        EXECUTE format('REVOKE ALL ON SEQUENCE %s FROM PUBLIC, "{writer}", "{reader}"', item.name);
        EXECUTE format('GRANT USAGE ON SEQUENCE %s TO "{writer}"', item.name);
    END LOOP;
END
$trainstore$;

COMMIT;
