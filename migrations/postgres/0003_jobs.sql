-- What the calendar asks for. Jobs that are the daemon's own and no tenant's have the tenant ''.

-- Every due instant up to `handled_through` was run or skipped. A changed `calendar` starts afresh.
CREATE TABLE jobs (
    tenant          TEXT COLLATE "C" NOT NULL,
    job             TEXT COLLATE "C" NOT NULL,
    calendar        TEXT COLLATE "C" NOT NULL,
    handled_through BIGINT NOT NULL,
    told_at         BIGINT,
    told            TEXT COLLATE "C",
    PRIMARY KEY (tenant, job)
);

CREATE TABLE job_runs (
    tenant      TEXT COLLATE "C" NOT NULL,
    job         TEXT COLLATE "C" NOT NULL,
    run         BIGINT NOT NULL,
    due_at      BIGINT NOT NULL,
    attempt     BIGINT NOT NULL,
    asked_by    TEXT COLLATE "C",
    started_at  BIGINT NOT NULL,
    finished_at BIGINT,
    outcome     TEXT COLLATE "C",
    message     TEXT COLLATE "C",
    PRIMARY KEY (tenant, job, run)
);

CREATE INDEX job_runs_unfinished ON job_runs (tenant, job, run) WHERE finished_at IS NULL;

-- Retention looks for old questions (calls that are no attempt) among years of attempts.
CREATE INDEX platform_calls_questions ON platform_calls (tenant, sent_at) WHERE transition IS NULL;
