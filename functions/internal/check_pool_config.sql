CREATE OR REPLACE FUNCTION internal.check_pool_config() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Keep the pools within what PostgreSQL can give, and count the change.
   Raises GC121 if all pools together would leave less than 30 connections to the rest: replication,
   agents, exporters, migrations, and people who repair something. */
DECLARE
    v_others bigint;
    v_allowed constant bigint := current_setting('max_connections')::bigint - 30;
BEGIN
    -- Two changes at once must not both fit alone.
    PERFORM pg_advisory_xact_lock(hashtextextended('internal.check_pool_config', 0));
    SELECT coalesce(sum(other.max_connections), 0) INTO v_others
    FROM public.communication_pool_config AS other
    WHERE other.pool_name <> NEW.pool_name;
    IF v_others + NEW.max_connections > v_allowed THEN
        RAISE EXCEPTION 'max_connections % for pool "%" is more than PostgreSQL can give: % remain',
            NEW.max_connections, NEW.pool_name, v_allowed - v_others
        USING ERRCODE = 'GC121',
            HINT = 'Lower a pool, or raise postgres.max_connections in the stack file and run `make up`.';
    END IF;
    NEW.revision := 1;
    IF TG_OP = 'UPDATE' THEN
        NEW.revision := OLD.revision + 1;
    END IF;
    NEW.updated_at := clock_timestamp();
    NEW.updated_by := SESSION_USER;
    NEW.applied_at := NULL;
    RETURN NEW;
END
$plpgsql$;

COMMENT ON FUNCTION internal.check_pool_config() IS
'Trigger: refuses (GC121) pools that leave PostgreSQL no reserve, counts the revision.';
REVOKE ALL ON FUNCTION internal.check_pool_config() FROM PUBLIC;

-- Only the wanted values: a report of the agent is no change.
CREATE OR REPLACE TRIGGER check_pool_config
BEFORE INSERT OR UPDATE OF pool_name, min_connections, max_connections, connection_timeout_ms, idle_timeout_ms
ON public.communication_pool_config
FOR EACH ROW EXECUTE FUNCTION internal.check_pool_config();
