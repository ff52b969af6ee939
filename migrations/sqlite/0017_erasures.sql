-- Who is being erased has the instant at which that began, and the stand-in that the rows go on as the same instant as its own. Neither
-- is in any roster.
ALTER TABLE agents ADD COLUMN erasing_since INTEGER;
ALTER TABLE agents ADD COLUMN erased_at INTEGER;

-- Wishes to erase an agent, and what came of them. `agent` is who it is, until nothing of that is left anywhere: then it is NULL.
CREATE TABLE erasures (
    tenant   TEXT NOT NULL,
    id       TEXT NOT NULL,
    agent    TEXT,
    stand_in TEXT NOT NULL,
    asked_at INTEGER NOT NULL,
    asked_by TEXT NOT NULL,
    reason   TEXT NOT NULL,
    done_at  INTEGER,
    outcome  TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX erasures_open ON erasures (tenant, id) WHERE done_at IS NULL;
