-- CASCADE: the checks that return it are repeatable and come back with apply.
DROP TYPE internal.readiness_result CASCADE;
