-- Figures of skills and queues: for a day a row for each read, then one for each quarter of an hour, with sums and counts so that
-- averages stay right. A figure that the platform did not give is NULL and counts for nothing; shares are parts per million.

CREATE TABLE skill_figures (
    tenant                   TEXT NOT NULL,
    skill                    TEXT NOT NULL,
    taken_at                 INTEGER NOT NULL,
    name                     TEXT,
    contacts_queued          INTEGER,
    contacts_active          INTEGER,
    longest_queue_duration_s INTEGER,
    service_level_ppm        INTEGER,
    agents_available         INTEGER,
    agents_staffed           INTEGER,
    agents_on_contact        INTEGER,
    agents_in_acw            INTEGER,
    estimated_wait_time_s    INTEGER,
    PRIMARY KEY (tenant, taken_at, skill)
) STRICT, WITHOUT ROWID;

CREATE TABLE skill_figures_15m (
    tenant                         TEXT NOT NULL,
    skill                          TEXT NOT NULL,
    quarter_at                     INTEGER NOT NULL,
    polls                          INTEGER NOT NULL,
    name                           TEXT,
    contacts_queued_sum            INTEGER NOT NULL,
    contacts_queued_count          INTEGER NOT NULL,
    contacts_queued_max            INTEGER,
    contacts_active_sum            INTEGER NOT NULL,
    contacts_active_count          INTEGER NOT NULL,
    contacts_active_max            INTEGER,
    longest_queue_duration_s_sum   INTEGER NOT NULL,
    longest_queue_duration_s_count INTEGER NOT NULL,
    longest_queue_duration_s_max   INTEGER,
    service_level_ppm_sum          INTEGER NOT NULL,
    service_level_ppm_count        INTEGER NOT NULL,
    service_level_ppm_max          INTEGER,
    agents_available_sum           INTEGER NOT NULL,
    agents_available_count         INTEGER NOT NULL,
    agents_available_max           INTEGER,
    agents_staffed_sum             INTEGER NOT NULL,
    agents_staffed_count           INTEGER NOT NULL,
    agents_staffed_max             INTEGER,
    agents_on_contact_sum          INTEGER NOT NULL,
    agents_on_contact_count        INTEGER NOT NULL,
    agents_on_contact_max          INTEGER,
    agents_in_acw_sum              INTEGER NOT NULL,
    agents_in_acw_count            INTEGER NOT NULL,
    agents_in_acw_max              INTEGER,
    estimated_wait_time_s_sum      INTEGER NOT NULL,
    estimated_wait_time_s_count    INTEGER NOT NULL,
    estimated_wait_time_s_max      INTEGER,
    PRIMARY KEY (tenant, skill, quarter_at)
) STRICT, WITHOUT ROWID;

CREATE INDEX skill_figures_15m_by_quarter ON skill_figures_15m (tenant, quarter_at);

CREATE TABLE queue_figures (
    tenant               TEXT NOT NULL,
    queue                TEXT NOT NULL,
    taken_at             INTEGER NOT NULL,
    name                 TEXT,
    agents_logged_on     INTEGER,
    agents_available     INTEGER,
    agents_busy          INTEGER,
    calls_waiting        INTEGER,
    average_wait_time_ms INTEGER,
    service_level_ppm    INTEGER,
    PRIMARY KEY (tenant, taken_at, queue)
) STRICT, WITHOUT ROWID;

CREATE TABLE queue_figures_15m (
    tenant                     TEXT NOT NULL,
    queue                      TEXT NOT NULL,
    quarter_at                 INTEGER NOT NULL,
    polls                      INTEGER NOT NULL,
    name                       TEXT,
    agents_logged_on_sum       INTEGER NOT NULL,
    agents_logged_on_count     INTEGER NOT NULL,
    agents_logged_on_max       INTEGER,
    agents_available_sum       INTEGER NOT NULL,
    agents_available_count     INTEGER NOT NULL,
    agents_available_max       INTEGER,
    agents_busy_sum            INTEGER NOT NULL,
    agents_busy_count          INTEGER NOT NULL,
    agents_busy_max            INTEGER,
    calls_waiting_sum          INTEGER NOT NULL,
    calls_waiting_count        INTEGER NOT NULL,
    calls_waiting_max          INTEGER,
    average_wait_time_ms_sum   INTEGER NOT NULL,
    average_wait_time_ms_count INTEGER NOT NULL,
    average_wait_time_ms_max   INTEGER,
    service_level_ppm_sum      INTEGER NOT NULL,
    service_level_ppm_count    INTEGER NOT NULL,
    service_level_ppm_max      INTEGER,
    PRIMARY KEY (tenant, queue, quarter_at)
) STRICT, WITHOUT ROWID;

CREATE INDEX queue_figures_15m_by_quarter ON queue_figures_15m (tenant, quarter_at);
