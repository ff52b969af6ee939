-- Instants that no setting of this host's wall clock moves. A stay's beginning by the platform's own clock: it tells after a
-- restart where the stay lies on the clock as it is set by then.
ALTER TABLE state_history ADD COLUMN platform_at INTEGER;

-- The start of the host that a call's steady time counts from: two steady times of one start are a span, whatever the wall
-- clock says.
ALTER TABLE platform_calls ADD COLUMN host_start INTEGER;
