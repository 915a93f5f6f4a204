-- The tables that the starter queries of executor.*, learning.* and autonomy.* read.
-- PostgreSQL and SQLite take this file as it is, also a second time. Times are UTC.

CREATE TABLE IF NOT EXISTS tasks (
    id INTEGER PRIMARY KEY,
    queue TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'running', 'done', 'failed')),
    created_at TIMESTAMP NOT NULL,
    started_at TIMESTAMP,
    finished_at TIMESTAMP
);
CREATE INDEX IF NOT EXISTS tasks_waiting ON tasks (status, queue, created_at);

CREATE TABLE IF NOT EXISTS workers (
    id TEXT PRIMARY KEY,
    pool TEXT NOT NULL,
    busy BOOLEAN NOT NULL,
    seen_at TIMESTAMP NOT NULL
);

CREATE TABLE IF NOT EXISTS sessions (
    id INTEGER PRIMARY KEY,
    started_at TIMESTAMP NOT NULL
);

CREATE TABLE IF NOT EXISTS sources (
    id INTEGER PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('verified', 'rejected', 'blocked')),
    is_new BOOLEAN NOT NULL,
    checked_at TIMESTAMP NOT NULL
);

CREATE TABLE IF NOT EXISTS sandbox_runs (
    id INTEGER PRIMARY KEY,
    passed BOOLEAN NOT NULL,
    finished_at TIMESTAMP NOT NULL
);

CREATE TABLE IF NOT EXISTS plans (
    id INTEGER PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('running', 'succeeded', 'failed', 'rolled_back')),
    finished_at TIMESTAMP
);

CREATE TABLE IF NOT EXISTS actions (
    id INTEGER PRIMARY KEY,
    autonomous BOOLEAN NOT NULL,
    done_at TIMESTAMP NOT NULL
);

CREATE TABLE IF NOT EXISTS approvals (
    id INTEGER PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('pending', 'approved', 'rejected', 'expired')),
    asked_at TIMESTAMP NOT NULL
);
