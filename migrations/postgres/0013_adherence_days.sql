-- What each agent's local day adds up to. `sums` is written by `domain::adherence::sums`; `basis` says by which formulas, settings, zone and
-- team it was computed; nothing that happens from `settles_at` on changes it. `stale` is set by whatever changes the past, in the same
-- commit.
CREATE TABLE adherence_days (
    tenant           TEXT COLLATE "C" NOT NULL,
    agent            TEXT COLLATE "C" NOT NULL,
    day              TEXT COLLATE "C" NOT NULL,
    starts_at        BIGINT NOT NULL,
    ends_at          BIGINT NOT NULL,
    settles_at       BIGINT NOT NULL,
    stale            BIGINT NOT NULL DEFAULT 0,
    basis            TEXT COLLATE "C" NOT NULL,
    schedule_version BIGINT NOT NULL,
    history_id       BIGINT NOT NULL,
    computed_at      BIGINT NOT NULL,
    sums             TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, agent, day)
);

CREATE INDEX adherence_days_stale ON adherence_days (tenant, stale, agent, day) WHERE stale = 1;
CREATE INDEX adherence_days_by_settling ON adherence_days (tenant, settles_at);

-- When the whole roster was in sight. Between two rows nobody looked.
CREATE TABLE sight_spans (
    tenant    TEXT COLLATE "C" NOT NULL,
    starts_at BIGINT NOT NULL,
    ends_at   BIGINT NOT NULL,
    PRIMARY KEY (tenant, starts_at)
);

-- What the daemon judges adherence by.
CREATE TABLE adherence_basis (
    tenant   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    settings TEXT COLLATE "C" NOT NULL
);
