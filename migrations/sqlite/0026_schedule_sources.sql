-- The last good version of the schedule that each source gave, and what the source is asked with next time: `etag` and
-- `last_modified` are its own words, `content` is the hash of the file, and `settings` that of how the file was read.
CREATE TABLE schedule_sources (
    tenant        TEXT NOT NULL,
    source        TEXT NOT NULL,
    since         INTEGER NOT NULL,
    good_at       INTEGER,
    version       INTEGER,
    etag          TEXT,
    last_modified TEXT,
    content       BLOB,
    settings      BLOB,
    PRIMARY KEY (tenant, source)
) STRICT, WITHOUT ROWID;
