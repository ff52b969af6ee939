-- Offers of changes of shifts, which agents accept or decline by a link. `approved_at` is NULL while an offer is only proposed by a rule;
-- `link` is the SHA-256 of the link's secret, NULL until then. `version` is the version of the schedule that an acceptance made.
CREATE TABLE schedule_offers (
    tenant       TEXT COLLATE "C" NOT NULL,
    id           TEXT COLLATE "C" NOT NULL,
    day          TEXT COLLATE "C" NOT NULL,
    edit         TEXT COLLATE "C" NOT NULL,
    places       BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    made_at      BIGINT NOT NULL,
    made_by      TEXT COLLATE "C" NOT NULL,
    approved_at  BIGINT,
    approved_by  TEXT COLLATE "C",
    withdrawn_at BIGINT,
    withdrawn_by TEXT COLLATE "C",
    PRIMARY KEY (tenant, id)
);

CREATE INDEX schedule_offers_by_end ON schedule_offers (tenant, expires_at, id);

CREATE TABLE schedule_offer_agents (
    tenant      TEXT COLLATE "C" NOT NULL,
    offer       TEXT COLLATE "C" NOT NULL,
    agent       TEXT COLLATE "C" NOT NULL,
    link        BYTEA,
    answer      TEXT COLLATE "C",
    answered_at BIGINT,
    version     BIGINT,
    PRIMARY KEY (tenant, offer, agent)
);

CREATE UNIQUE INDEX schedule_offer_agents_by_link ON schedule_offer_agents (link);
CREATE INDEX schedule_offer_agents_by_agent ON schedule_offer_agents (tenant, agent);
