-- The last value of a watched series of analytics that was judged, by where its bucket begins.
CREATE TABLE series_judged (
    tenant  TEXT NOT NULL,
    series  TEXT NOT NULL,
    source  TEXT NOT NULL,
    through INTEGER NOT NULL,
    PRIMARY KEY (tenant, series)
) STRICT, WITHOUT ROWID;
