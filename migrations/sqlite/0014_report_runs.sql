-- Reports that people and jobs asked the daemon for. The request may name agents; the files lie in a folder.
CREATE TABLE report_runs (
    tenant     TEXT NOT NULL,
    id         TEXT NOT NULL,
    asked_by   TEXT NOT NULL,
    asked_at   INTEGER NOT NULL,
    job        TEXT,
    request    TEXT NOT NULL,
    format     TEXT NOT NULL,
    section    TEXT,
    status     TEXT NOT NULL,
    attempts   INTEGER NOT NULL,
    started_at INTEGER,
    ended_at   INTEGER,
    place      TEXT NOT NULL,
    file       INTEGER,
    row_count  INTEGER,
    bytes      INTEGER,
    sha256     TEXT,
    error      TEXT,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX report_runs_open ON report_runs (tenant, id) WHERE ended_at IS NULL;
CREATE INDEX report_runs_by_end ON report_runs (tenant, ended_at, id);
