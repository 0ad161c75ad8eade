-- as wedsync_worker
SELECT render_batch(claimed.organization_id, claimed.batch_id, claimed.lease_token)
FROM claim_batches('rendering', 1, '1 minute', 1) AS claimed;
