-- Check for data past retention period
SELECT
  COUNT(*) as records_to_archive,
  MIN(created_at) as oldest_record
FROM guest_communications
WHERE created_at < NOW() - INTERVAL '365 days'
  AND is_archived = false;
