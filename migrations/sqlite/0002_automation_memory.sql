-- What automation did to an agent, rule by rule: cooldowns, limits and what was said already go on over a restart.
CREATE TABLE automation_memory (
    tenant           TEXT NOT NULL,
    agent            TEXT NOT NULL,
    rule             TEXT NOT NULL,
    acted_at         INTEGER,
    fact_key         INTEGER,
    held_key         INTEGER,
    left_alone_until INTEGER,
    PRIMARY KEY (tenant, agent, rule)
) STRICT, WITHOUT ROWID;
