-- as wedsync_app
SELECT upsert_guests(
    '018f0000-0000-7000-8000-000000000001',
    '[{"external_id": "1", "name": "Ann", "email": "ann@example.com", "phone": "+49 30 1234567",
       "push_token": "token-of-ann", "language": "de", "time_zone": "Europe/Berlin"},
      {"external_id": "2", "name": "Ben", "email": "ben@example.com"}]'
);
SELECT search_guests('018f0000-0000-7000-8000-000000000001', 'an');
