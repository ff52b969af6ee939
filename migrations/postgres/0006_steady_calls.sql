-- When a call was answered (sent, while it has no answer) by the time since the host's start, which no setting of the wall
-- clock moves: the budget's window counts on over a restart also where the clock was set in between.
ALTER TABLE platform_calls ADD COLUMN steady_us BIGINT;

CREATE INDEX platform_calls_by_steady ON platform_calls (tenant, steady_us) WHERE steady_us IS NOT NULL;
