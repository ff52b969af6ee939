-- When a subscription was made and when it was last polled, by the time since the host's start beside the wall clock, which may be set.
-- A start knows from it how old the subscription is and when the platform may be polled next. Rows from before have none of it.
ALTER TABLE subscriptions ADD COLUMN created_steady_us INTEGER;
ALTER TABLE subscriptions ADD COLUMN created_host_start INTEGER;
ALTER TABLE subscriptions ADD COLUMN polled_at INTEGER;
ALTER TABLE subscriptions ADD COLUMN polled_steady_us INTEGER;
ALTER TABLE subscriptions ADD COLUMN polled_host_start INTEGER;
