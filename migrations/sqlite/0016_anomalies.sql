-- Anomalies of watched series, a row each. Numbers with a fraction are texts that give them back to the last bit.
CREATE TABLE anomalies (
    tenant   TEXT NOT NULL,
    id       TEXT NOT NULL,
    series   TEXT NOT NULL,
    source   TEXT NOT NULL,
    kind     TEXT NOT NULL,
    baseline TEXT NOT NULL,
    at       INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    value    TEXT NOT NULL,
    expected TEXT NOT NULL,
    score    TEXT NOT NULL,
    found_at INTEGER NOT NULL,
    seen_at  INTEGER NOT NULL,
    ended_at INTEGER,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

-- None is told twice.
CREATE UNIQUE INDEX anomalies_of_series ON anomalies (tenant, series, at);
CREATE INDEX anomalies_by_sight ON anomalies (tenant, seen_at, id);
CREATE INDEX anomalies_by_end ON anomalies (tenant, ended_at, id);
