SELECT * FROM verify_production_readiness();
SELECT * FROM check_communication_system_health();
