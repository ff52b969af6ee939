-- The outbox. Nothing was ever written to these three tables.
DROP TABLE delivery_attempts;
DROP TABLE deliveries;
DROP TABLE endpoints;

-- Every event up to `sent_through` has a row in `deliveries` or was not selected. The lease of what is under way is the daemon's
-- own epoch: one daemon is active, and what it had under way when it died is sent again.
CREATE TABLE endpoints (
    tenant        TEXT COLLATE "C" NOT NULL,
    id            TEXT COLLATE "C" NOT NULL,
    created_at    BIGINT NOT NULL,
    sent_through  BIGINT NOT NULL,
    failing_since BIGINT,
    last_error    TEXT COLLATE "C",
    disabled_at   BIGINT,
    disabled_for  TEXT COLLATE "C",
    PRIMARY KEY (tenant, id)
);

-- `next_at` is set on what may be sent: of an agent's waiting rows only the first has one. `earlier` counts the attempts before a
-- person asked for it again.
CREATE TABLE deliveries (
    tenant       TEXT COLLATE "C" NOT NULL,
    endpoint     TEXT COLLATE "C" NOT NULL,
    event_number BIGINT NOT NULL,
    agent        TEXT COLLATE "C",
    status       TEXT COLLATE "C" NOT NULL,
    attempts     BIGINT NOT NULL,
    earlier      BIGINT NOT NULL,
    next_at      BIGINT,
    settled_at   BIGINT,
    parked_for   TEXT COLLATE "C",
    PRIMARY KEY (tenant, endpoint, event_number)
);

CREATE INDEX deliveries_due ON deliveries (tenant, endpoint, next_at) WHERE next_at IS NOT NULL;
CREATE INDEX deliveries_open ON deliveries (tenant, endpoint, status, agent, event_number) WHERE status <> 'delivered';

CREATE TABLE delivery_attempts (
    tenant       TEXT COLLATE "C" NOT NULL,
    endpoint     TEXT COLLATE "C" NOT NULL,
    event_number BIGINT NOT NULL,
    attempt      BIGINT NOT NULL,
    sent_at      BIGINT NOT NULL,
    latency_ms   BIGINT NOT NULL,
    status_code  BIGINT,
    error        TEXT COLLATE "C",
    answer       TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, endpoint, event_number, attempt)
);
