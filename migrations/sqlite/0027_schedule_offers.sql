-- Offers of changes of shifts, which agents accept or decline by a link. `approved_at` is NULL while an offer is only proposed by a rule;
-- `link` is the SHA-256 of the link's secret, NULL until then. `version` is the version of the schedule that an acceptance made.
CREATE TABLE schedule_offers (
    tenant       TEXT NOT NULL,
    id           TEXT NOT NULL,
    day          TEXT NOT NULL,
    edit         TEXT NOT NULL,
    places       INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    made_at      INTEGER NOT NULL,
    made_by      TEXT NOT NULL,
    approved_at  INTEGER,
    approved_by  TEXT,
    withdrawn_at INTEGER,
    withdrawn_by TEXT,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX schedule_offers_by_end ON schedule_offers (tenant, expires_at, id);

CREATE TABLE schedule_offer_agents (
    tenant      TEXT NOT NULL,
    offer       TEXT NOT NULL,
    agent       TEXT NOT NULL,
    link        BLOB,
    answer      TEXT,
    answered_at INTEGER,
    version     INTEGER,
    PRIMARY KEY (tenant, offer, agent)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX schedule_offer_agents_by_link ON schedule_offer_agents (link);
CREATE INDEX schedule_offer_agents_by_agent ON schedule_offer_agents (tenant, agent);
