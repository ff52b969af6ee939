-- What the calendar asks for. Jobs that are the daemon's own and no tenant's have the tenant ''.

-- Every due instant up to `handled_through` was run or skipped. A changed `calendar` starts afresh.
CREATE TABLE jobs (
    tenant          TEXT NOT NULL,
    job             TEXT NOT NULL,
    calendar        TEXT NOT NULL,
    handled_through INTEGER NOT NULL,
    told_at         INTEGER,
    told            TEXT,
    PRIMARY KEY (tenant, job)
) STRICT, WITHOUT ROWID;

CREATE TABLE job_runs (
    tenant      TEXT NOT NULL,
    job         TEXT NOT NULL,
    run         INTEGER NOT NULL,
    due_at      INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    asked_by    TEXT,
    started_at  INTEGER NOT NULL,
    finished_at INTEGER,
    outcome     TEXT,
    message     TEXT,
    PRIMARY KEY (tenant, job, run)
) STRICT, WITHOUT ROWID;

CREATE INDEX job_runs_unfinished ON job_runs (tenant, job, run) WHERE finished_at IS NULL;

-- Retention looks for old questions (calls that are no attempt) among years of attempts.
CREATE INDEX platform_calls_questions ON platform_calls (tenant, sent_at) WHERE transition IS NULL;
