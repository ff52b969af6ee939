-- Who may use the daemon: accounts of people, API tokens, sessions. They are the daemon's and no tenant's, since one account may
-- reach several; `reach` is JSON, null for every tenant, else {"tenant": ["team", …] or null for all of them}. There are few enough
-- to be read whole at a start. Secrets stand here as hashes alone.

CREATE TABLE accounts (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    role       TEXT COLLATE "C" NOT NULL,
    reach      TEXT COLLATE "C" NOT NULL,
    disabled   BIGINT NOT NULL,
    made_at    BIGINT NOT NULL,
    made_by    TEXT COLLATE "C" NOT NULL,
    changed_at BIGINT NOT NULL,
    version    BIGINT NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    password   TEXT COLLATE "C"
);

-- One of `role`, `may` (rights by name, with commas) and `account` says what a token gives.
CREATE TABLE api_tokens (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    hash         BYTEA NOT NULL UNIQUE,
    role         TEXT COLLATE "C",
    may          TEXT COLLATE "C",
    account      TEXT COLLATE "C",
    reach        TEXT COLLATE "C" NOT NULL,
    made_at      BIGINT NOT NULL,
    made_by      TEXT COLLATE "C" NOT NULL,
    expires_at   BIGINT,
    revoked_at   BIGINT,
    revoked_by   TEXT COLLATE "C",
    last_used_at BIGINT
);

CREATE TABLE sessions (
    hash    BYTEA NOT NULL PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL,
    made_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    source  TEXT COLLATE "C"
);
