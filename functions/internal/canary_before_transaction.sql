CREATE OR REPLACE FUNCTION internal.canary_before_transaction(p_transaction_id xid8) RETURNS pg_lsn
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* A position of the write-ahead log before which a transaction has certainly not committed: where the last canary
       of a smaller number began. NULL if there is none. */
    SELECT max(canary.begun_lsn) FROM internal.canaries AS canary WHERE canary.transaction_id < p_transaction_id
$sql$;

COMMENT ON FUNCTION internal.canary_before_transaction(xid8) IS
'A position of the write-ahead log before which the transaction has not committed.';
REVOKE ALL ON FUNCTION internal.canary_before_transaction(xid8) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.canary_before_transaction(xid8) TO comms_agent;
