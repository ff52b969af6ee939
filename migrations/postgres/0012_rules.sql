-- Rules that people write through the API: every version of each. The newest counts.
CREATE TABLE rule_editions (
    tenant   TEXT COLLATE "C" NOT NULL,
    rule     TEXT COLLATE "C" NOT NULL,
    version  BIGINT NOT NULL,
    text     TEXT COLLATE "C" NOT NULL,
    enabled  BIGINT NOT NULL,
    place    BIGINT,
    removed  BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    made_by  TEXT COLLATE "C" NOT NULL,
    why      TEXT COLLATE "C",
    PRIMARY KEY (tenant, rule, version)
);

-- What rules found of agents and did not carry out: what a watching rule would have done, what was told, what a guard held back, and
-- changes that agents took back. The audit chain has the same under random subjects; here the agent has a name, and the rows go
-- with the history.
CREATE TABLE rule_findings (
    tenant       TEXT COLLATE "C" NOT NULL,
    id           TEXT COLLATE "C" NOT NULL,
    at           BIGINT NOT NULL,
    rule         TEXT COLLATE "C" NOT NULL,
    rule_version TEXT COLLATE "C" NOT NULL,
    kind         TEXT COLLATE "C" NOT NULL,
    agent        TEXT COLLATE "C" NOT NULL,
    guard        TEXT COLLATE "C" NOT NULL,
    wants        TEXT COLLATE "C" NOT NULL,
    because      TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE INDEX rule_findings_of_rule ON rule_findings (tenant, rule, id);
CREATE INDEX rule_findings_of_agent ON rule_findings (tenant, agent, id);

-- What each rule asked for, without a look at the rows.
CREATE INDEX transitions_by_rule ON transitions (tenant, requested_at, rule, status) WHERE rule IS NOT NULL;

-- Who is excused when. The reason is a person's words and may say things about people.
CREATE TABLE exceptions (
    tenant    TEXT COLLATE "C" NOT NULL,
    id        TEXT COLLATE "C" NOT NULL,
    scope     TEXT COLLATE "C" NOT NULL,
    team      TEXT COLLATE "C",
    starts_at BIGINT NOT NULL,
    ends_at   BIGINT NOT NULL,
    reason    TEXT COLLATE "C" NOT NULL,
    made_by   TEXT COLLATE "C" NOT NULL,
    made_at   BIGINT NOT NULL,
    ended_at  BIGINT,
    ended_by  TEXT COLLATE "C",
    ended_why TEXT COLLATE "C",
    PRIMARY KEY (tenant, id)
);

CREATE INDEX exceptions_by_end ON exceptions (tenant, ends_at, id);

CREATE TABLE exception_agents (
    tenant    TEXT COLLATE "C" NOT NULL,
    exception TEXT COLLATE "C" NOT NULL,
    agent     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, exception, agent)
);
