-- The last value of a watched series of analytics that was judged, by where its bucket begins.
CREATE TABLE series_judged (
    tenant  TEXT COLLATE "C" NOT NULL,
    series  TEXT COLLATE "C" NOT NULL,
    source  TEXT COLLATE "C" NOT NULL,
    through BIGINT NOT NULL,
    PRIMARY KEY (tenant, series)
);
