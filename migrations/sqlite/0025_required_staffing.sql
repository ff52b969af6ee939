-- The agents required in each queue, as imported: a row for each interval of 15, 30 or 60 minutes.
CREATE TABLE required_staffing (
    tenant             TEXT NOT NULL,
    starts_at          INTEGER NOT NULL,
    queue              TEXT NOT NULL,
    minutes            INTEGER NOT NULL,
    agents_thousandths INTEGER NOT NULL,
    PRIMARY KEY (tenant, starts_at, queue)
) STRICT, WITHOUT ROWID;
