-- Reports that people and jobs asked the daemon for. The request may name agents; the files lie in a folder.
CREATE TABLE report_runs (
    tenant     TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    asked_by   TEXT COLLATE "C" NOT NULL,
    asked_at   BIGINT NOT NULL,
    job        TEXT COLLATE "C",
    request    TEXT COLLATE "C" NOT NULL,
    format     TEXT COLLATE "C" NOT NULL,
    section    TEXT COLLATE "C",
    status     TEXT COLLATE "C" NOT NULL,
    attempts   BIGINT NOT NULL,
    started_at BIGINT,
    ended_at   BIGINT,
    place      TEXT COLLATE "C" NOT NULL,
    file       BIGINT,
    row_count  BIGINT,
    bytes      BIGINT,
    sha256     TEXT COLLATE "C",
    error      TEXT COLLATE "C",
    PRIMARY KEY (tenant, id)
);

CREATE INDEX report_runs_open ON report_runs (tenant, id) WHERE ended_at IS NULL;
CREATE INDEX report_runs_by_end ON report_runs (tenant, ended_at, id);
