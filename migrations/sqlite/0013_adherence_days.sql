-- What each agent's local day adds up to. `sums` is written by `domain::adherence::sums`; `basis` says by which formulas, settings, zone and
-- team it was computed; nothing that happens from `settles_at` on changes it. `stale` is set by whatever changes the past, in the same
-- commit.
CREATE TABLE adherence_days (
    tenant           TEXT NOT NULL,
    agent            TEXT NOT NULL,
    day              TEXT NOT NULL,
    starts_at        INTEGER NOT NULL,
    ends_at          INTEGER NOT NULL,
    settles_at       INTEGER NOT NULL,
    stale            INTEGER NOT NULL DEFAULT 0,
    basis            TEXT NOT NULL,
    schedule_version INTEGER NOT NULL,
    history_id       INTEGER NOT NULL,
    computed_at      INTEGER NOT NULL,
    sums             TEXT NOT NULL,
    PRIMARY KEY (tenant, agent, day)
) STRICT, WITHOUT ROWID;

CREATE INDEX adherence_days_stale ON adherence_days (tenant, stale, agent, day) WHERE stale = 1;
CREATE INDEX adherence_days_by_settling ON adherence_days (tenant, settles_at);

-- When the whole roster was in sight. Between two rows nobody looked.
CREATE TABLE sight_spans (
    tenant    TEXT NOT NULL,
    starts_at INTEGER NOT NULL,
    ends_at   INTEGER NOT NULL,
    PRIMARY KEY (tenant, starts_at)
) STRICT, WITHOUT ROWID;

-- What the daemon judges adherence by.
CREATE TABLE adherence_basis (
    tenant   TEXT NOT NULL PRIMARY KEY,
    settings TEXT NOT NULL
) STRICT, WITHOUT ROWID;
