-- Runs of analytics queries, and the rows of those that came out well. Rows count once the run's stored is 1.
CREATE TABLE analytics_runs (
    tenant      TEXT NOT NULL,
    id          TEXT NOT NULL,
    query       TEXT NOT NULL,
    asked_by    TEXT NOT NULL,
    asked_at    INTEGER NOT NULL,
    job         TEXT,
    request     TEXT NOT NULL,
    status      TEXT NOT NULL,
    parts       TEXT NOT NULL,
    started_at  INTEGER,
    ended_at    INTEGER,
    holds_until INTEGER,
    stored      INTEGER,
    received    INTEGER,
    promised    INTEGER,
    sha256      TEXT,
    failure     TEXT,
    error       TEXT,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX analytics_runs_open ON analytics_runs (tenant, id) WHERE ended_at IS NULL;
CREATE INDEX analytics_runs_by_end ON analytics_runs (tenant, ended_at, id);
CREATE INDEX analytics_runs_by_query ON analytics_runs (tenant, query, id);
CREATE INDEX analytics_runs_stored ON analytics_runs (tenant, query, stored, id);
CREATE INDEX analytics_runs_holding ON analytics_runs (tenant, holds_until);

CREATE TABLE analytics_rows (
    tenant TEXT NOT NULL,
    run    TEXT NOT NULL,
    place  INTEGER NOT NULL,
    body   TEXT NOT NULL,
    PRIMARY KEY (tenant, run, place)
) STRICT, WITHOUT ROWID;
