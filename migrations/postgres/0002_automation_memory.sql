-- What automation did to an agent, rule by rule: cooldowns, limits and what was said already go on over a restart.
CREATE TABLE automation_memory (
    tenant           TEXT COLLATE "C" NOT NULL,
    agent            TEXT COLLATE "C" NOT NULL,
    rule             TEXT COLLATE "C" NOT NULL,
    acted_at         BIGINT,
    fact_key         BIGINT,
    held_key         BIGINT,
    left_alone_until BIGINT,
    PRIMARY KEY (tenant, agent, rule)
);
