-- Runs of analytics queries, and the rows of those that came out well. Rows count once the run's stored is 1.
CREATE TABLE analytics_runs (
    tenant      TEXT COLLATE "C" NOT NULL,
    id          TEXT COLLATE "C" NOT NULL,
    query       TEXT COLLATE "C" NOT NULL,
    asked_by    TEXT COLLATE "C" NOT NULL,
    asked_at    BIGINT NOT NULL,
    job         TEXT COLLATE "C",
    request     TEXT COLLATE "C" NOT NULL,
    status      TEXT COLLATE "C" NOT NULL,
    parts       TEXT COLLATE "C" NOT NULL,
    started_at  BIGINT,
    ended_at    BIGINT,
    holds_until BIGINT,
    stored      BIGINT,
    received    BIGINT,
    promised    BIGINT,
    sha256      TEXT COLLATE "C",
    failure     TEXT COLLATE "C",
    error       TEXT COLLATE "C",
    PRIMARY KEY (tenant, id)
);

CREATE INDEX analytics_runs_open ON analytics_runs (tenant, id) WHERE ended_at IS NULL;
CREATE INDEX analytics_runs_by_end ON analytics_runs (tenant, ended_at, id);
CREATE INDEX analytics_runs_by_query ON analytics_runs (tenant, query, id);
CREATE INDEX analytics_runs_stored ON analytics_runs (tenant, query, stored, id);
CREATE INDEX analytics_runs_holding ON analytics_runs (tenant, holds_until);

CREATE TABLE analytics_rows (
    tenant TEXT COLLATE "C" NOT NULL,
    run    TEXT COLLATE "C" NOT NULL,
    place  BIGINT NOT NULL,
    body   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, run, place)
);
