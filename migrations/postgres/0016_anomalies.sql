-- Anomalies of watched series, a row each. Numbers with a fraction are texts that give them back to the last bit.
CREATE TABLE anomalies (
    tenant   TEXT COLLATE "C" NOT NULL,
    id       TEXT COLLATE "C" NOT NULL,
    series   TEXT COLLATE "C" NOT NULL,
    source   TEXT COLLATE "C" NOT NULL,
    kind     TEXT COLLATE "C" NOT NULL,
    baseline TEXT COLLATE "C" NOT NULL,
    at       BIGINT NOT NULL,
    last_at  BIGINT NOT NULL,
    value    TEXT COLLATE "C" NOT NULL,
    expected TEXT COLLATE "C" NOT NULL,
    score    TEXT COLLATE "C" NOT NULL,
    found_at BIGINT NOT NULL,
    seen_at  BIGINT NOT NULL,
    ended_at BIGINT,
    PRIMARY KEY (tenant, id)
);

-- None is told twice.
CREATE UNIQUE INDEX anomalies_of_series ON anomalies (tenant, series, at);
CREATE INDEX anomalies_by_sight ON anomalies (tenant, seen_at, id);
CREATE INDEX anomalies_by_end ON anomalies (tenant, ended_at, id);
