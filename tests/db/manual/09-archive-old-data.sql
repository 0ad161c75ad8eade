SELECT * FROM perform_communication_maintenance();
