-- What was planned for an agent when a set was shown, until when, and the verdict on the wanted state beside it. Sets from before have
-- none of it.
ALTER TABLE change_set_agents ADD COLUMN planned TEXT;
ALTER TABLE change_set_agents ADD COLUMN planned_until INTEGER;
ALTER TABLE change_set_agents ADD COLUMN would_be TEXT;
