-- Rules that people write through the API: every version of each. The newest counts.
CREATE TABLE rule_editions (
    tenant   TEXT NOT NULL,
    rule     TEXT NOT NULL,
    version  INTEGER NOT NULL,
    text     TEXT NOT NULL,
    enabled  INTEGER NOT NULL,
    place    INTEGER,
    removed  INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    made_by  TEXT NOT NULL,
    why      TEXT,
    PRIMARY KEY (tenant, rule, version)
) STRICT, WITHOUT ROWID;

-- What rules found of agents and did not carry out: what a watching rule would have done, what was told, what a guard held back, and
-- changes that agents took back. The audit chain has the same under random subjects; here the agent has a name, and the rows go
-- with the history.
CREATE TABLE rule_findings (
    tenant       TEXT NOT NULL,
    id           TEXT NOT NULL,
    at           INTEGER NOT NULL,
    rule         TEXT NOT NULL,
    rule_version TEXT NOT NULL,
    kind         TEXT NOT NULL,
    agent        TEXT NOT NULL,
    guard        TEXT NOT NULL,
    wants        TEXT NOT NULL,
    because      TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX rule_findings_of_rule ON rule_findings (tenant, rule, id);
CREATE INDEX rule_findings_of_agent ON rule_findings (tenant, agent, id);

-- What each rule asked for, without a look at the rows.
CREATE INDEX transitions_by_rule ON transitions (tenant, requested_at, rule, status) WHERE rule IS NOT NULL;

-- Who is excused when. The reason is a person's words and may say things about people.
CREATE TABLE exceptions (
    tenant    TEXT NOT NULL,
    id        TEXT NOT NULL,
    scope     TEXT NOT NULL,
    team      TEXT,
    starts_at INTEGER NOT NULL,
    ends_at   INTEGER NOT NULL,
    reason    TEXT NOT NULL,
    made_by   TEXT NOT NULL,
    made_at   INTEGER NOT NULL,
    ended_at  INTEGER,
    ended_by  TEXT,
    ended_why TEXT,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX exceptions_by_end ON exceptions (tenant, ends_at, id);

CREATE TABLE exception_agents (
    tenant    TEXT NOT NULL,
    exception TEXT NOT NULL,
    agent     TEXT NOT NULL,
    PRIMARY KEY (tenant, exception, agent)
) STRICT, WITHOUT ROWID;
