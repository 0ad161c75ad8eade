-- Scale batch processing workers
INSERT INTO communication_batch_queue (
  batch_id,
  operation_type,
  payload,
  priority
) VALUES (
  'scale_workers_' || generate_random_uuid(),
  'scale_workers',
  '{"worker_count": 10}',
  1
);
