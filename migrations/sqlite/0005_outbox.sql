-- The outbox. Nothing was ever written to these three tables.
DROP TABLE delivery_attempts;
DROP TABLE deliveries;
DROP TABLE endpoints;

-- Every event up to `sent_through` has a row in `deliveries` or was not selected. The lease of what is under way is the daemon's
-- own epoch: one daemon is active, and what it had under way when it died is sent again.
CREATE TABLE endpoints (
    tenant        TEXT NOT NULL,
    id            TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    sent_through  INTEGER NOT NULL,
    failing_since INTEGER,
    last_error    TEXT,
    disabled_at   INTEGER,
    disabled_for  TEXT,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

-- `next_at` is set on what may be sent: of an agent's waiting rows only the first has one. `earlier` counts the attempts before a
-- person asked for it again.
CREATE TABLE deliveries (
    tenant       TEXT NOT NULL,
    endpoint     TEXT NOT NULL,
    event_number INTEGER NOT NULL,
    agent        TEXT,
    status       TEXT NOT NULL,
    attempts     INTEGER NOT NULL,
    earlier      INTEGER NOT NULL,
    next_at      INTEGER,
    settled_at   INTEGER,
    parked_for   TEXT,
    PRIMARY KEY (tenant, endpoint, event_number)
) STRICT, WITHOUT ROWID;

CREATE INDEX deliveries_due ON deliveries (tenant, endpoint, next_at) WHERE next_at IS NOT NULL;
CREATE INDEX deliveries_open ON deliveries (tenant, endpoint, status, agent, event_number) WHERE status <> 'delivered';

CREATE TABLE delivery_attempts (
    tenant       TEXT NOT NULL,
    endpoint     TEXT NOT NULL,
    event_number INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    sent_at      INTEGER NOT NULL,
    latency_ms   INTEGER NOT NULL,
    status_code  INTEGER,
    error        TEXT,
    answer       TEXT NOT NULL,
    PRIMARY KEY (tenant, endpoint, event_number, attempt)
) STRICT, WITHOUT ROWID;
