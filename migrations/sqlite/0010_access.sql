-- Who may use the daemon: accounts of people, API tokens, sessions. They are the daemon's and no tenant's, since one account may
-- reach several; `reach` is JSON, null for every tenant, else {"tenant": ["team", …] or null for all of them}. There are few enough
-- to be read whole at a start. Secrets stand here as hashes alone.

CREATE TABLE accounts (
    id         TEXT NOT NULL PRIMARY KEY,
    role       TEXT NOT NULL,
    reach      TEXT NOT NULL,
    disabled   INTEGER NOT NULL,
    made_at    INTEGER NOT NULL,
    made_by    TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    name       TEXT NOT NULL,
    password   TEXT
) STRICT, WITHOUT ROWID;

-- One of `role`, `may` (rights by name, with commas) and `account` says what a token gives.
CREATE TABLE api_tokens (
    id           TEXT NOT NULL PRIMARY KEY,
    hash         BLOB NOT NULL UNIQUE,
    role         TEXT,
    may          TEXT,
    account      TEXT,
    reach        TEXT NOT NULL,
    made_at      INTEGER NOT NULL,
    made_by      TEXT NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    revoked_by   TEXT,
    last_used_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    hash    BLOB NOT NULL PRIMARY KEY,
    account TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    source  TEXT
) STRICT, WITHOUT ROWID;
