-- Verify consent for recent communications
SELECT
  gc.id,
  gc.message_title,
  COUNT(cr.id) as total_recipients,
  COUNT(cgc.id) as recipients_with_consent
FROM guest_communications gc
JOIN communication_recipients cr ON gc.id = cr.communication_id
LEFT JOIN communication_gdpr_consent cgc ON cr.recipient_email = cgc.guest_email
  AND cgc.consent_given = true
WHERE gc.created_at > NOW() - INTERVAL '7 days'
GROUP BY gc.id, gc.message_title
HAVING COUNT(cr.id) > COUNT(cgc.id);
