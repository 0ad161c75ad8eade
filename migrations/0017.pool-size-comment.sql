-- What the pool's bound is a bound of: each login has a pool of its own since guestcomms sizes pools by cores, and the
-- comment still said otherwise. No row changes.
-- Locks: the catalogue row of the comment; nobody waits.
COMMENT ON COLUMN public.communication_pool_config.max_connections IS
'Server connections of each login at most; all pools together leave PostgreSQL 30 connections for everything else.';
