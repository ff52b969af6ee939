-- Figures of skills and queues: for a day a row for each read, then one for each quarter of an hour, with sums and counts so that
-- averages stay right. A figure that the platform did not give is NULL and counts for nothing; shares are parts per million.

CREATE TABLE skill_figures (
    tenant                   TEXT COLLATE "C" NOT NULL,
    skill                    TEXT COLLATE "C" NOT NULL,
    taken_at                 BIGINT NOT NULL,
    name                     TEXT COLLATE "C",
    contacts_queued          BIGINT,
    contacts_active          BIGINT,
    longest_queue_duration_s BIGINT,
    service_level_ppm        BIGINT,
    agents_available         BIGINT,
    agents_staffed           BIGINT,
    agents_on_contact        BIGINT,
    agents_in_acw            BIGINT,
    estimated_wait_time_s    BIGINT,
    PRIMARY KEY (tenant, taken_at, skill)
);

CREATE TABLE skill_figures_15m (
    tenant                         TEXT COLLATE "C" NOT NULL,
    skill                          TEXT COLLATE "C" NOT NULL,
    quarter_at                     BIGINT NOT NULL,
    polls                          BIGINT NOT NULL,
    name                           TEXT COLLATE "C",
    contacts_queued_sum            BIGINT NOT NULL,
    contacts_queued_count          BIGINT NOT NULL,
    contacts_queued_max            BIGINT,
    contacts_active_sum            BIGINT NOT NULL,
    contacts_active_count          BIGINT NOT NULL,
    contacts_active_max            BIGINT,
    longest_queue_duration_s_sum   BIGINT NOT NULL,
    longest_queue_duration_s_count BIGINT NOT NULL,
    longest_queue_duration_s_max   BIGINT,
    service_level_ppm_sum          BIGINT NOT NULL,
    service_level_ppm_count        BIGINT NOT NULL,
    service_level_ppm_max          BIGINT,
    agents_available_sum           BIGINT NOT NULL,
    agents_available_count         BIGINT NOT NULL,
    agents_available_max           BIGINT,
    agents_staffed_sum             BIGINT NOT NULL,
    agents_staffed_count           BIGINT NOT NULL,
    agents_staffed_max             BIGINT,
    agents_on_contact_sum          BIGINT NOT NULL,
    agents_on_contact_count        BIGINT NOT NULL,
    agents_on_contact_max          BIGINT,
    agents_in_acw_sum              BIGINT NOT NULL,
    agents_in_acw_count            BIGINT NOT NULL,
    agents_in_acw_max              BIGINT,
    estimated_wait_time_s_sum      BIGINT NOT NULL,
    estimated_wait_time_s_count    BIGINT NOT NULL,
    estimated_wait_time_s_max      BIGINT,
    PRIMARY KEY (tenant, skill, quarter_at)
);

CREATE INDEX skill_figures_15m_by_quarter ON skill_figures_15m (tenant, quarter_at);

CREATE TABLE queue_figures (
    tenant               TEXT COLLATE "C" NOT NULL,
    queue                TEXT COLLATE "C" NOT NULL,
    taken_at             BIGINT NOT NULL,
    name                 TEXT COLLATE "C",
    agents_logged_on     BIGINT,
    agents_available     BIGINT,
    agents_busy          BIGINT,
    calls_waiting        BIGINT,
    average_wait_time_ms BIGINT,
    service_level_ppm    BIGINT,
    PRIMARY KEY (tenant, taken_at, queue)
);

CREATE TABLE queue_figures_15m (
    tenant                     TEXT COLLATE "C" NOT NULL,
    queue                      TEXT COLLATE "C" NOT NULL,
    quarter_at                 BIGINT NOT NULL,
    polls                      BIGINT NOT NULL,
    name                       TEXT COLLATE "C",
    agents_logged_on_sum       BIGINT NOT NULL,
    agents_logged_on_count     BIGINT NOT NULL,
    agents_logged_on_max       BIGINT,
    agents_available_sum       BIGINT NOT NULL,
    agents_available_count     BIGINT NOT NULL,
    agents_available_max       BIGINT,
    agents_busy_sum            BIGINT NOT NULL,
    agents_busy_count          BIGINT NOT NULL,
    agents_busy_max            BIGINT,
    calls_waiting_sum          BIGINT NOT NULL,
    calls_waiting_count        BIGINT NOT NULL,
    calls_waiting_max          BIGINT,
    average_wait_time_ms_sum   BIGINT NOT NULL,
    average_wait_time_ms_count BIGINT NOT NULL,
    average_wait_time_ms_max   BIGINT,
    service_level_ppm_sum      BIGINT NOT NULL,
    service_level_ppm_count    BIGINT NOT NULL,
    service_level_ppm_max      BIGINT,
    PRIMARY KEY (tenant, queue, quarter_at)
);

CREATE INDEX queue_figures_15m_by_quarter ON queue_figures_15m (tenant, quarter_at);
