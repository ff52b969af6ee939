-- The agents required in each queue, as imported: a row for each interval of 15, 30 or 60 minutes.
CREATE TABLE required_staffing (
    tenant             TEXT COLLATE "C" NOT NULL,
    starts_at          BIGINT NOT NULL,
    queue              TEXT COLLATE "C" NOT NULL,
    minutes            BIGINT NOT NULL,
    agents_thousandths BIGINT NOT NULL,
    PRIMARY KEY (tenant, starts_at, queue)
);
