-- The answer of one readiness check.
-- Every check is a function that returns this type; verify_production_readiness() collects them.
-- Locks: none, everything is new.
CREATE TYPE internal.readiness_result AS (
    status text,
    value text,
    threshold text,
    what_to_do text
);
COMMENT ON TYPE internal.readiness_result IS
'status (pass, warn, fail, unknown), the value found, what it is compared with, and what to do unless it passes.';
