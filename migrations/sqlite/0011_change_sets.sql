-- Bulk changes by people: what was shown before it was started, and who started it. How it goes stands in its transitions alone.

CREATE TABLE change_sets (
    tenant       TEXT NOT NULL,
    id           TEXT NOT NULL,
    made_at      INTEGER NOT NULL,
    made_by      TEXT NOT NULL,
    expires_at   INTEGER NOT NULL,
    hash         BLOB NOT NULL,
    undoes       TEXT,
    teams        TEXT NOT NULL,
    body         TEXT NOT NULL,
    started_at   INTEGER,
    started_by   TEXT,
    cancelled_at INTEGER,
    cancelled_by TEXT,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX change_sets_by_making ON change_sets (tenant, made_at);
CREATE INDEX change_sets_not_started ON change_sets (tenant, expires_at, id) WHERE started_at IS NULL;
CREATE INDEX change_sets_that_undo ON change_sets (tenant, undoes) WHERE undoes IS NOT NULL;

-- `left_out` and `left_why` are set at the start, for those of whom something else was true by then.
CREATE TABLE change_set_agents (
    tenant       TEXT NOT NULL,
    change_set   TEXT NOT NULL,
    place        INTEGER NOT NULL,
    agent        TEXT NOT NULL,
    state        TEXT,
    state_reason TEXT,
    target       TEXT NOT NULL,
    reason       TEXT,
    takes_back   TEXT,
    outcome      TEXT NOT NULL,
    why          TEXT,
    skills       TEXT NOT NULL,
    left_out     TEXT,
    left_why     TEXT,
    PRIMARY KEY (tenant, change_set, place)
) STRICT, WITHOUT ROWID;

ALTER TABLE transitions ADD COLUMN change_set TEXT;

CREATE INDEX transitions_of_change_sets ON transitions (tenant, change_set) WHERE change_set IS NOT NULL;

-- Skills that people named or gave a floor, and who has which. A skill that nobody named may be carried all the same.
CREATE TABLE skills (
    tenant TEXT NOT NULL,
    id     TEXT NOT NULL,
    name   TEXT,
    floor  INTEGER,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE agent_skills (
    tenant TEXT NOT NULL,
    agent  TEXT NOT NULL,
    skill  TEXT NOT NULL,
    PRIMARY KEY (tenant, agent, skill)
) STRICT, WITHOUT ROWID;
