-- The last good version of the schedule that each source gave, and what the source is asked with next time: `etag` and
-- `last_modified` are its own words, `content` is the hash of the file, and `settings` that of how the file was read.
CREATE TABLE schedule_sources (
    tenant        TEXT COLLATE "C" NOT NULL,
    source        TEXT COLLATE "C" NOT NULL,
    since         BIGINT NOT NULL,
    good_at       BIGINT,
    version       BIGINT,
    etag          TEXT COLLATE "C",
    last_modified TEXT COLLATE "C",
    content       BYTEA,
    settings      BYTEA,
    PRIMARY KEY (tenant, source)
);
