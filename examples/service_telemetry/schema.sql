-- The tables that the starter queries of executor.*, learning.* and autonomy.* read.
-- PostgreSQL and SQLite take this file as it is. Times are UTC.

CREATE TABLE tasks (
    id INTEGER PRIMARY KEY,
    queue TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'running', 'done', 'failed')),
    created_at TIMESTAMP NOT NULL,
    started_at TIMESTAMP,
    finished_at TIMESTAMP
);
CREATE INDEX tasks_waiting ON tasks (status, queue, created_at);

CREATE TABLE workers (
    id TEXT PRIMARY KEY,
    pool TEXT NOT NULL,
    busy BOOLEAN NOT NULL,
    seen_at TIMESTAMP NOT NULL
);

CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    started_at TIMESTAMP NOT NULL
);

CREATE TABLE sources (
    id INTEGER PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('verified', 'rejected', 'blocked')),
    is_new BOOLEAN NOT NULL,
    checked_at TIMESTAMP NOT NULL
);

CREATE TABLE sandbox_runs (
    id INTEGER PRIMARY KEY,
    passed BOOLEAN NOT NULL,
    finished_at TIMESTAMP NOT NULL
);

CREATE TABLE plans (
    id INTEGER PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('running', 'succeeded', 'failed', 'rolled_back')),
    finished_at TIMESTAMP
);

CREATE TABLE actions (
    id INTEGER PRIMARY KEY,
    autonomous BOOLEAN NOT NULL,
    done_at TIMESTAMP NOT NULL
);

CREATE TABLE approvals (
    id INTEGER PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('pending', 'approved', 'rejected', 'expired')),
    asked_at TIMESTAMP NOT NULL
);
