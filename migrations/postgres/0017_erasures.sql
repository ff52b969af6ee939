-- Who is being erased has the instant at which that began, and the stand-in that the rows go on as the same instant as its own. Neither
-- is in any roster.
ALTER TABLE agents ADD COLUMN erasing_since BIGINT;
ALTER TABLE agents ADD COLUMN erased_at BIGINT;

-- Wishes to erase an agent, and what came of them. `agent` is who it is, until nothing of that is left anywhere: then it is NULL.
CREATE TABLE erasures (
    tenant   TEXT COLLATE "C" NOT NULL,
    id       TEXT COLLATE "C" NOT NULL,
    agent    TEXT COLLATE "C",
    stand_in TEXT COLLATE "C" NOT NULL,
    asked_at BIGINT NOT NULL,
    asked_by TEXT COLLATE "C" NOT NULL,
    reason   TEXT COLLATE "C" NOT NULL,
    done_at  BIGINT,
    outcome  TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE INDEX erasures_open ON erasures (tenant, id) WHERE done_at IS NULL;
