"""The tables of the ledger of runs and approvals."""

from typing import Final

from otel_metrics.sqlite import Schema

__all__ = ["SCHEMA"]

SCHEMA: Final = Schema(
    name="a ledger of remediation",
    application_id=0x4F544D52,
    migrations=[
        """
        CREATE TABLE clock (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            time_us INTEGER NOT NULL,
            boot TEXT NOT NULL, boot_us INTEGER NOT NULL,
            wall_us INTEGER NOT NULL
        );
        CREATE TABLE head ( -- of the audit's chain
            id INTEGER PRIMARY KEY CHECK (id = 1),
            sequence INTEGER NOT NULL,
            hash TEXT NOT NULL,
            -- Whether what the audit says was taken in: a ledger may be younger than its audit.
            adopted INTEGER NOT NULL,
            ledger TEXT NOT NULL, -- the ledger's id, which each entry of the chain has
            service TEXT NOT NULL -- whose ledger it is
        );
        INSERT INTO head VALUES (1, 0, '', 0, '', '');
        CREATE TABLE runs (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            kind TEXT NOT NULL CHECK (kind IN ('run', 'dry_run', 'notice', 'refusal')),
            key TEXT NOT NULL,
            playbook TEXT NOT NULL,
            scope TEXT NOT NULL, target TEXT NOT NULL,
            metric TEXT, band TEXT,
            actor TEXT NOT NULL, reason TEXT NOT NULL,
            parameters TEXT NOT NULL, -- JSON
            configuration TEXT NOT NULL, -- SHA-256 of the operator's file
            plan TEXT NOT NULL, -- JSON
            approval TEXT,
            rerun_of TEXT,
            idempotent INTEGER NOT NULL,
            owner TEXT NOT NULL, -- of the process that runs it
            state TEXT NOT NULL CHECK (state IN ('admitted', 'begun', 'ended')),
            result TEXT,
            detail TEXT NOT NULL DEFAULT '',
            steps TEXT NOT NULL DEFAULT '[]', -- JSON
            began_us INTEGER NOT NULL, began_at INTEGER NOT NULL, -- ledger's time, and Unix time
            ended_us INTEGER, ended_at INTEGER,
            verification TEXT CHECK (verification IN ('due', 'passed', 'failed')),
            verify_metric TEXT, verify_band TEXT, verify_s REAL, verify_until_us INTEGER,
            verified_us INTEGER, verified_at INTEGER,
            UNIQUE (kind, key)
        );
        CREATE INDEX runs_playbook ON runs (kind, playbook, number);
        CREATE INDEX runs_target ON runs (kind, scope, target, number);
        CREATE INDEX runs_began ON runs (kind, began_us);
        CREATE INDEX runs_open ON runs (state) WHERE state != 'ended';
        CREATE INDEX runs_unknown ON runs (ended_us) WHERE result = 'unknown';
        CREATE INDEX runs_due ON runs (verification) WHERE verification = 'due';
        CREATE TABLE approvals (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            key TEXT NOT NULL UNIQUE,
            digest TEXT NOT NULL, -- SHA-256 of exactly what is approved
            playbook TEXT NOT NULL,
            scope TEXT NOT NULL, target TEXT NOT NULL,
            metric TEXT, band TEXT,
            actor TEXT NOT NULL, reason TEXT NOT NULL,
            given TEXT NOT NULL, -- JSON: the parameters of the request
            parameters TEXT NOT NULL, -- JSON: all that it would be run with
            configuration TEXT NOT NULL,
            plan TEXT NOT NULL, -- JSON
            tier INTEGER NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'rejected', 'expired')),
            detail TEXT NOT NULL DEFAULT '',
            expires_s REAL NOT NULL,
            asked_us INTEGER NOT NULL, asked_at INTEGER NOT NULL,
            expires_us INTEGER NOT NULL, expires_at INTEGER NOT NULL,
            decided_by TEXT, decided_at INTEGER, decision_reason TEXT,
            run TEXT -- the one that it was used for
        );
        CREATE INDEX approvals_open ON approvals (state) WHERE state IN ('pending', 'approved');
        CREATE TABLE outbox ( -- what the audit is yet to say, in this order
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            event TEXT NOT NULL,
            entry TEXT NOT NULL, -- JSON, without sequence and hashes
            tried INTEGER NOT NULL DEFAULT 0 -- whether it may have been said
        );
        """
    ],
)
