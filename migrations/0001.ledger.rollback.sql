DROP TABLE internal.applied_sql;
