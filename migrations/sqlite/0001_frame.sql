-- Instants are UTC microseconds, ids are text, hashes are bytes. Every key starts with the tenant; only the lock's row and the
-- migrations have none.

CREATE TABLE daemon (
    only_row   INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    epoch      INTEGER NOT NULL,
    role       TEXT NOT NULL,
    host       TEXT NOT NULL,
    pid        INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    version    TEXT NOT NULL,
    listen     TEXT,
    stopped_at INTEGER
) STRICT;

-- Personal data; may be erased without touching the audit chain.
CREATE TABLE agents (
    tenant TEXT NOT NULL,
    id     TEXT NOT NULL,
    name   TEXT,
    team   TEXT,
    zone   TEXT,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE subjects (
    tenant  TEXT NOT NULL,
    agent   TEXT NOT NULL,
    subject TEXT NOT NULL,
    PRIMARY KEY (tenant, agent)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX subjects_by_subject ON subjects (tenant, subject);

-- A version is in force from the commit that adds its row here; rows of shifts and coverage that name a later version are
-- the leavings of an import that was cut off.
CREATE TABLE schedule_versions (
    tenant       TEXT NOT NULL,
    version      INTEGER NOT NULL,
    name         TEXT NOT NULL,
    content_hash BLOB NOT NULL,
    imported_at  INTEGER NOT NULL,
    actor        TEXT NOT NULL,
    covers_from  INTEGER NOT NULL,
    covers_to    INTEGER NOT NULL,
    agents       INTEGER NOT NULL,
    shifts       INTEGER NOT NULL,
    PRIMARY KEY (tenant, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE shifts (
    tenant       TEXT NOT NULL,
    agent        TEXT NOT NULL,
    starts_at    INTEGER NOT NULL,
    version_from INTEGER NOT NULL,
    version_to   INTEGER,
    ends_at      INTEGER NOT NULL,
    activities   TEXT NOT NULL,
    PRIMARY KEY (tenant, agent, starts_at, version_from)
) STRICT, WITHOUT ROWID;

CREATE INDEX shifts_by_end ON shifts (tenant, ends_at);
CREATE INDEX shifts_by_version ON shifts (tenant, version_from);
CREATE INDEX shifts_by_end_of_version ON shifts (tenant, version_to) WHERE version_to IS NOT NULL;

CREATE TABLE schedule_coverage (
    tenant       TEXT NOT NULL,
    agent        TEXT NOT NULL,
    starts_at    INTEGER NOT NULL,
    version_from INTEGER NOT NULL,
    version_to   INTEGER,
    ends_at      INTEGER NOT NULL,
    PRIMARY KEY (tenant, agent, starts_at, version_from)
) STRICT, WITHOUT ROWID;

CREATE INDEX schedule_coverage_by_version ON schedule_coverage (tenant, version_from);
CREATE INDEX schedule_coverage_by_end_of_version ON schedule_coverage (tenant, version_to) WHERE version_to IS NOT NULL;

-- `left_at` is the instant of the agent's next row: sums need no look at the neighbour.
CREATE TABLE state_history (
    tenant     TEXT NOT NULL,
    agent      TEXT NOT NULL,
    entered_at INTEGER NOT NULL,
    left_at    INTEGER,
    state      TEXT NOT NULL,
    id         INTEGER NOT NULL,
    source     TEXT NOT NULL,
    reason     TEXT,
    queue      TEXT,
    transition TEXT,
    PRIMARY KEY (tenant, agent, entered_at)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX state_history_by_id ON state_history (tenant, id);

CREATE TABLE transitions (
    tenant       TEXT NOT NULL,
    id           TEXT NOT NULL,
    agent        TEXT NOT NULL,
    target       TEXT NOT NULL,
    reason       TEXT NOT NULL,
    priority     TEXT NOT NULL,
    actor        TEXT NOT NULL,
    rule         TEXT,
    status       TEXT NOT NULL,
    standing     TEXT NOT NULL,
    requested_at INTEGER NOT NULL,
    deadline     INTEGER NOT NULL,
    accepted_at  INTEGER,
    finished_at  INTEGER,
    before       TEXT,
    violation    TEXT,
    attempts     INTEGER NOT NULL,
    latency_ms   INTEGER,
    on_contact   TEXT NOT NULL,
    note         TEXT,
    explanation  TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX transitions_by_agent ON transitions (tenant, agent, id);
CREATE INDEX transitions_by_request ON transitions (tenant, requested_at);
CREATE INDEX transitions_open ON transitions (tenant, finished_at, id) WHERE finished_at IS NULL;
CREATE INDEX transitions_of_rules ON transitions (tenant, accepted_at) WHERE rule IS NOT NULL AND accepted_at IS NOT NULL;

-- The budget's log of calls and the attempts of transitions are the same rows.
CREATE TABLE platform_calls (
    tenant      TEXT NOT NULL,
    id          TEXT NOT NULL,
    kind        TEXT NOT NULL,
    agent       TEXT,
    transition  TEXT,
    attempt     INTEGER,
    sent_at     INTEGER NOT NULL,
    answered_at INTEGER,
    outcome     TEXT,
    status_code INTEGER,
    latency_ms  INTEGER,
    error       TEXT,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX platform_calls_by_sending ON platform_calls (tenant, sent_at);
CREATE INDEX platform_calls_unanswered ON platform_calls (tenant, answered_at, id) WHERE answered_at IS NULL;
CREATE INDEX platform_calls_of_transition ON platform_calls (tenant, transition) WHERE transition IS NOT NULL;

CREATE TABLE audit_entries (
    tenant     TEXT NOT NULL,
    seq        INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    action     TEXT NOT NULL,
    subject    TEXT,
    transition TEXT,
    body       TEXT NOT NULL,
    hash       BLOB NOT NULL,
    PRIMARY KEY (tenant, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX audit_entries_of_transition ON audit_entries (tenant, transition) WHERE transition IS NOT NULL;

-- Heads that left the host. `prunes_below` is set when entries up to that head may be deleted.
CREATE TABLE audit_heads (
    tenant       TEXT NOT NULL,
    seq          INTEGER NOT NULL,
    hash         BLOB NOT NULL,
    at           INTEGER NOT NULL,
    signature    BLOB NOT NULL,
    prunes_below INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, seq)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER audit_entries_refuse_update BEFORE UPDATE ON audit_entries
BEGIN
    SELECT RAISE(ABORT, 'audit entries cannot be changed');
END;

CREATE TRIGGER audit_entries_refuse_delete BEFORE DELETE ON audit_entries
WHEN NOT EXISTS (
    SELECT 1 FROM audit_heads WHERE tenant = OLD.tenant AND prunes_below = 1 AND seq > OLD.seq
)
BEGIN
    SELECT RAISE(ABORT, 'audit entries above the last published checkpoint cannot be deleted');
END;

CREATE TRIGGER audit_entries_refuse_replace BEFORE INSERT ON audit_entries
WHEN EXISTS (SELECT 1 FROM audit_entries WHERE tenant = NEW.tenant AND seq = NEW.seq)
BEGIN
    SELECT RAISE(ABORT, 'audit entries cannot be replaced');
END;

-- What people typed; may be erased without touching the audit chain, which holds only the salted hash.
CREATE TABLE notes (
    tenant TEXT NOT NULL,
    hash   BLOB NOT NULL,
    salt   BLOB NOT NULL,
    text   TEXT NOT NULL,
    PRIMARY KEY (tenant, hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    tenant   TEXT NOT NULL,
    number   INTEGER NOT NULL,
    id       TEXT NOT NULL,
    at       INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    agent    TEXT,
    sequence INTEGER,
    body     TEXT NOT NULL,
    PRIMARY KEY (tenant, number)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX events_by_id ON events (tenant, id);

CREATE TABLE endpoints (
    tenant     TEXT NOT NULL,
    id         TEXT NOT NULL,
    url        TEXT NOT NULL,
    kinds      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    disabled_at INTEGER,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE deliveries (
    tenant       TEXT NOT NULL,
    endpoint     TEXT NOT NULL,
    event_number INTEGER NOT NULL,
    status       TEXT NOT NULL,
    next_at      INTEGER,
    leased_until INTEGER,
    attempts     INTEGER NOT NULL,
    PRIMARY KEY (tenant, endpoint, event_number)
) STRICT, WITHOUT ROWID;

CREATE INDEX deliveries_due ON deliveries (tenant, endpoint, next_at) WHERE next_at IS NOT NULL;

CREATE TABLE delivery_attempts (
    tenant       TEXT NOT NULL,
    endpoint     TEXT NOT NULL,
    event_number INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    sent_at      INTEGER NOT NULL,
    latency_ms   INTEGER,
    status_code  INTEGER,
    error        TEXT,
    PRIMARY KEY (tenant, endpoint, event_number, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE agent_counters (
    tenant       TEXT NOT NULL,
    agent        TEXT NOT NULL,
    sequence     INTEGER NOT NULL,
    local_day    TEXT NOT NULL,
    violations   INTEGER NOT NULL,
    not_ready_us INTEGER NOT NULL,
    PRIMARY KEY (tenant, agent)
) STRICT, WITHOUT ROWID;

CREATE TABLE subscriptions (
    tenant      TEXT NOT NULL,
    slice       INTEGER NOT NULL,
    id          TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    interval_ms INTEGER NOT NULL,
    agents_hash BLOB NOT NULL,
    PRIMARY KEY (tenant, slice)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency_keys (
    tenant       TEXT NOT NULL,
    token        TEXT NOT NULL,
    request_key  TEXT NOT NULL,
    request_hash BLOB NOT NULL,
    status       INTEGER NOT NULL,
    answer       TEXT NOT NULL,
    at           INTEGER NOT NULL,
    PRIMARY KEY (tenant, token, request_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE rule_versions (
    tenant        TEXT NOT NULL,
    rule          TEXT NOT NULL,
    version       TEXT NOT NULL,
    body          TEXT NOT NULL,
    first_seen_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, rule, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE tenant_status (
    tenant       TEXT NOT NULL PRIMARY KEY,
    halted_since INTEGER,
    reason       TEXT
) STRICT, WITHOUT ROWID;
