-- Create recovery point
INSERT INTO communication_recovery_points (
  recovery_point_id,
  recovery_type,
  tables_included,
  point_in_time,
  consistent
) VALUES (
  'recovery_' || to_char(NOW(), 'YYYYMMDD_HH24MISS'),
  'point_in_time',
  ARRAY['guest_communications', 'communication_recipients'],
  NOW(),
  true
);
