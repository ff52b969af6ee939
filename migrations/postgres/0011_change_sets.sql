-- Bulk changes by people: what was shown before it was started, and who started it. How it goes stands in its transitions alone.

CREATE TABLE change_sets (
    tenant       TEXT COLLATE "C" NOT NULL,
    id           TEXT COLLATE "C" NOT NULL,
    made_at      BIGINT NOT NULL,
    made_by      TEXT COLLATE "C" NOT NULL,
    expires_at   BIGINT NOT NULL,
    hash         BYTEA NOT NULL,
    undoes       TEXT COLLATE "C",
    teams        TEXT COLLATE "C" NOT NULL,
    body         TEXT COLLATE "C" NOT NULL,
    started_at   BIGINT,
    started_by   TEXT COLLATE "C",
    cancelled_at BIGINT,
    cancelled_by TEXT COLLATE "C",
    PRIMARY KEY (tenant, id)
);

CREATE INDEX change_sets_by_making ON change_sets (tenant, made_at);
CREATE INDEX change_sets_not_started ON change_sets (tenant, expires_at, id) WHERE started_at IS NULL;
CREATE INDEX change_sets_that_undo ON change_sets (tenant, undoes) WHERE undoes IS NOT NULL;

-- `left_out` and `left_why` are set at the start, for those of whom something else was true by then.
CREATE TABLE change_set_agents (
    tenant       TEXT COLLATE "C" NOT NULL,
    change_set   TEXT COLLATE "C" NOT NULL,
    place        BIGINT NOT NULL,
    agent        TEXT COLLATE "C" NOT NULL,
    state        TEXT COLLATE "C",
    state_reason TEXT COLLATE "C",
    target       TEXT COLLATE "C" NOT NULL,
    reason       TEXT COLLATE "C",
    takes_back   TEXT COLLATE "C",
    outcome      TEXT COLLATE "C" NOT NULL,
    why          TEXT COLLATE "C",
    skills       TEXT COLLATE "C" NOT NULL,
    left_out     TEXT COLLATE "C",
    left_why     TEXT COLLATE "C",
    PRIMARY KEY (tenant, change_set, place)
);

ALTER TABLE transitions ADD COLUMN change_set TEXT COLLATE "C";

CREATE INDEX transitions_of_change_sets ON transitions (tenant, change_set) WHERE change_set IS NOT NULL;

-- Skills that people named or gave a floor, and who has which. A skill that nobody named may be carried all the same.
CREATE TABLE skills (
    tenant TEXT COLLATE "C" NOT NULL,
    id     TEXT COLLATE "C" NOT NULL,
    name   TEXT COLLATE "C",
    floor  BIGINT,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE agent_skills (
    tenant TEXT COLLATE "C" NOT NULL,
    agent  TEXT COLLATE "C" NOT NULL,
    skill  TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, agent, skill)
);
