-- Instants are UTC microseconds, ids are text, hashes are bytes. Every key starts with the tenant; only the lock's row and the
-- migrations have none.

CREATE TABLE daemon (
    only_row   BIGINT NOT NULL PRIMARY KEY CHECK (only_row = 1),
    epoch      BIGINT NOT NULL,
    role       TEXT COLLATE "C" NOT NULL,
    host       TEXT COLLATE "C" NOT NULL,
    pid        BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    version    TEXT COLLATE "C" NOT NULL,
    listen     TEXT COLLATE "C",
    stopped_at BIGINT
);

-- Personal data; may be erased without touching the audit chain.
CREATE TABLE agents (
    tenant TEXT COLLATE "C" NOT NULL,
    id     TEXT COLLATE "C" NOT NULL,
    name   TEXT COLLATE "C",
    team   TEXT COLLATE "C",
    zone   TEXT COLLATE "C",
    PRIMARY KEY (tenant, id)
);

CREATE TABLE subjects (
    tenant  TEXT COLLATE "C" NOT NULL,
    agent   TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, agent)
);

CREATE UNIQUE INDEX subjects_by_subject ON subjects (tenant, subject);

-- A version is in force from the commit that adds its row here; rows of shifts and coverage that name a later version are
-- the leavings of an import that was cut off.
CREATE TABLE schedule_versions (
    tenant       TEXT COLLATE "C" NOT NULL,
    version      BIGINT NOT NULL,
    name         TEXT COLLATE "C" NOT NULL,
    content_hash BYTEA NOT NULL,
    imported_at  BIGINT NOT NULL,
    actor        TEXT COLLATE "C" NOT NULL,
    covers_from  BIGINT NOT NULL,
    covers_to    BIGINT NOT NULL,
    agents       BIGINT NOT NULL,
    shifts       BIGINT NOT NULL,
    PRIMARY KEY (tenant, version)
);

CREATE TABLE shifts (
    tenant       TEXT COLLATE "C" NOT NULL,
    agent        TEXT COLLATE "C" NOT NULL,
    starts_at    BIGINT NOT NULL,
    version_from BIGINT NOT NULL,
    version_to   BIGINT,
    ends_at      BIGINT NOT NULL,
    activities   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, agent, starts_at, version_from)
);

CREATE INDEX shifts_by_end ON shifts (tenant, ends_at);
CREATE INDEX shifts_by_version ON shifts (tenant, version_from);
CREATE INDEX shifts_by_end_of_version ON shifts (tenant, version_to) WHERE version_to IS NOT NULL;

CREATE TABLE schedule_coverage (
    tenant       TEXT COLLATE "C" NOT NULL,
    agent        TEXT COLLATE "C" NOT NULL,
    starts_at    BIGINT NOT NULL,
    version_from BIGINT NOT NULL,
    version_to   BIGINT,
    ends_at      BIGINT NOT NULL,
    PRIMARY KEY (tenant, agent, starts_at, version_from)
);

CREATE INDEX schedule_coverage_by_version ON schedule_coverage (tenant, version_from);
CREATE INDEX schedule_coverage_by_end_of_version ON schedule_coverage (tenant, version_to) WHERE version_to IS NOT NULL;

-- `left_at` is the instant of the agent's next row: sums need no look at the neighbour.
CREATE TABLE state_history (
    tenant     TEXT COLLATE "C" NOT NULL,
    agent      TEXT COLLATE "C" NOT NULL,
    entered_at BIGINT NOT NULL,
    left_at    BIGINT,
    state      TEXT COLLATE "C" NOT NULL,
    id         BIGINT NOT NULL,
    source     TEXT COLLATE "C" NOT NULL,
    reason     TEXT COLLATE "C",
    queue      TEXT COLLATE "C",
    transition TEXT COLLATE "C",
    PRIMARY KEY (tenant, agent, entered_at)
);

CREATE UNIQUE INDEX state_history_by_id ON state_history (tenant, id);

CREATE TABLE transitions (
    tenant       TEXT COLLATE "C" NOT NULL,
    id           TEXT COLLATE "C" NOT NULL,
    agent        TEXT COLLATE "C" NOT NULL,
    target       TEXT COLLATE "C" NOT NULL,
    reason       TEXT COLLATE "C" NOT NULL,
    priority     TEXT COLLATE "C" NOT NULL,
    actor        TEXT COLLATE "C" NOT NULL,
    rule         TEXT COLLATE "C",
    status       TEXT COLLATE "C" NOT NULL,
    standing     TEXT COLLATE "C" NOT NULL,
    requested_at BIGINT NOT NULL,
    deadline     BIGINT NOT NULL,
    accepted_at  BIGINT,
    finished_at  BIGINT,
    before       TEXT COLLATE "C",
    violation    TEXT COLLATE "C",
    attempts     BIGINT NOT NULL,
    latency_ms   BIGINT,
    on_contact   TEXT COLLATE "C" NOT NULL,
    note         TEXT COLLATE "C",
    explanation  TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE INDEX transitions_by_agent ON transitions (tenant, agent, id);
CREATE INDEX transitions_by_request ON transitions (tenant, requested_at);
CREATE INDEX transitions_open ON transitions (tenant, finished_at, id) WHERE finished_at IS NULL;
CREATE INDEX transitions_of_rules ON transitions (tenant, accepted_at) WHERE rule IS NOT NULL AND accepted_at IS NOT NULL;

-- The budget's log of calls and the attempts of transitions are the same rows.
CREATE TABLE platform_calls (
    tenant      TEXT COLLATE "C" NOT NULL,
    id          TEXT COLLATE "C" NOT NULL,
    kind        TEXT COLLATE "C" NOT NULL,
    agent       TEXT COLLATE "C",
    transition  TEXT COLLATE "C",
    attempt     BIGINT,
    sent_at     BIGINT NOT NULL,
    answered_at BIGINT,
    outcome     TEXT COLLATE "C",
    status_code BIGINT,
    latency_ms  BIGINT,
    error       TEXT COLLATE "C",
    PRIMARY KEY (tenant, id)
);

CREATE INDEX platform_calls_by_sending ON platform_calls (tenant, sent_at);
CREATE INDEX platform_calls_unanswered ON platform_calls (tenant, answered_at, id) WHERE answered_at IS NULL;
CREATE INDEX platform_calls_of_transition ON platform_calls (tenant, transition) WHERE transition IS NOT NULL;

CREATE TABLE audit_entries (
    tenant     TEXT COLLATE "C" NOT NULL,
    seq        BIGINT NOT NULL,
    at         BIGINT NOT NULL,
    action     TEXT COLLATE "C" NOT NULL,
    subject    TEXT COLLATE "C",
    transition TEXT COLLATE "C",
    body       TEXT COLLATE "C" NOT NULL,
    hash       BYTEA NOT NULL,
    PRIMARY KEY (tenant, seq)
);

CREATE INDEX audit_entries_of_transition ON audit_entries (tenant, transition) WHERE transition IS NOT NULL;

-- Heads that left the host. `prunes_below` is set when entries up to that head may be deleted.
CREATE TABLE audit_heads (
    tenant       TEXT COLLATE "C" NOT NULL,
    seq          BIGINT NOT NULL,
    hash         BYTEA NOT NULL,
    at           BIGINT NOT NULL,
    signature    BYTEA NOT NULL,
    prunes_below BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, seq)
);

CREATE FUNCTION audit_entries_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND EXISTS (
        SELECT 1 FROM audit_heads h WHERE h.tenant = OLD.tenant AND h.prunes_below = 1 AND h.seq > OLD.seq
    ) THEN
        RETURN OLD;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'audit entries above the last published checkpoint cannot be deleted';
    END IF;
    RAISE EXCEPTION 'audit entries cannot be changed';
END
$$;

CREATE TRIGGER audit_entries_refuse_change BEFORE UPDATE OR DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION audit_entries_refuse();

CREATE TRIGGER audit_entries_refuse_truncate BEFORE TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_refuse();

-- What people typed; may be erased without touching the audit chain, which holds only the salted hash.
CREATE TABLE notes (
    tenant TEXT COLLATE "C" NOT NULL,
    hash   BYTEA NOT NULL,
    salt   BYTEA NOT NULL,
    text   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, hash)
);

CREATE TABLE events (
    tenant   TEXT COLLATE "C" NOT NULL,
    number   BIGINT NOT NULL,
    id       TEXT COLLATE "C" NOT NULL,
    at       BIGINT NOT NULL,
    kind     TEXT COLLATE "C" NOT NULL,
    agent    TEXT COLLATE "C",
    sequence BIGINT,
    body     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, number)
);

CREATE UNIQUE INDEX events_by_id ON events (tenant, id);

CREATE TABLE endpoints (
    tenant     TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    url        TEXT COLLATE "C" NOT NULL,
    kinds      TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    disabled_at BIGINT,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE deliveries (
    tenant       TEXT COLLATE "C" NOT NULL,
    endpoint     TEXT COLLATE "C" NOT NULL,
    event_number BIGINT NOT NULL,
    status       TEXT COLLATE "C" NOT NULL,
    next_at      BIGINT,
    leased_until BIGINT,
    attempts     BIGINT NOT NULL,
    PRIMARY KEY (tenant, endpoint, event_number)
);

CREATE INDEX deliveries_due ON deliveries (tenant, endpoint, next_at) WHERE next_at IS NOT NULL;

CREATE TABLE delivery_attempts (
    tenant       TEXT COLLATE "C" NOT NULL,
    endpoint     TEXT COLLATE "C" NOT NULL,
    event_number BIGINT NOT NULL,
    attempt      BIGINT NOT NULL,
    sent_at      BIGINT NOT NULL,
    latency_ms   BIGINT,
    status_code  BIGINT,
    error        TEXT COLLATE "C",
    PRIMARY KEY (tenant, endpoint, event_number, attempt)
);

CREATE TABLE agent_counters (
    tenant       TEXT COLLATE "C" NOT NULL,
    agent        TEXT COLLATE "C" NOT NULL,
    sequence     BIGINT NOT NULL,
    local_day    TEXT COLLATE "C" NOT NULL,
    violations   BIGINT NOT NULL,
    not_ready_us BIGINT NOT NULL,
    PRIMARY KEY (tenant, agent)
);

CREATE TABLE subscriptions (
    tenant      TEXT COLLATE "C" NOT NULL,
    slice       BIGINT NOT NULL,
    id          TEXT COLLATE "C" NOT NULL,
    created_at  BIGINT NOT NULL,
    interval_ms BIGINT NOT NULL,
    agents_hash BYTEA NOT NULL,
    PRIMARY KEY (tenant, slice)
);

CREATE TABLE idempotency_keys (
    tenant       TEXT COLLATE "C" NOT NULL,
    token        TEXT COLLATE "C" NOT NULL,
    request_key  TEXT COLLATE "C" NOT NULL,
    request_hash BYTEA NOT NULL,
    status       BIGINT NOT NULL,
    answer       TEXT COLLATE "C" NOT NULL,
    at           BIGINT NOT NULL,
    PRIMARY KEY (tenant, token, request_key)
);

CREATE TABLE rule_versions (
    tenant        TEXT COLLATE "C" NOT NULL,
    rule          TEXT COLLATE "C" NOT NULL,
    version       TEXT COLLATE "C" NOT NULL,
    body          TEXT COLLATE "C" NOT NULL,
    first_seen_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, rule, version)
);

CREATE TABLE tenant_status (
    tenant       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    halted_since BIGINT,
    reason       TEXT COLLATE "C"
);
