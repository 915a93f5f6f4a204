"""The tables of service telemetry.

`metrics_snapshots` is for everybody to read. `samples` and `recommendations` hold what counts in
windows that are open, and `latest` the newest value of each metric and resource.
"""

from typing import Final

from otel_metrics.sqlite import Schema

__all__ = ["SCHEMA"]

SCHEMA: Final = Schema(
    name="service telemetry",
    application_id=0x6F6D5354,
    migrations=[
        """
        CREATE TABLE samples ( -- what counts in windows that are open
            metric_id TEXT NOT NULL,
            resource_id TEXT NOT NULL,
            resource_scope TEXT NOT NULL,
            at REAL NOT NULL, -- Unix seconds; of a late sample, when it came
            kind TEXT NOT NULL CHECK (kind IN ('sample', 'missing', 'not_a_number', 'late')),
            value REAL,
            band TEXT
        );
        CREATE INDEX samples_by_time ON samples (at);
        CREATE INDEX samples_of_series ON samples (metric_id, resource_id, at);
        CREATE TABLE recommendations ( -- derived actions of windows that are open
            recommendation_id TEXT NOT NULL PRIMARY KEY,
            metric_id TEXT NOT NULL,
            resource_id TEXT NOT NULL,
            at REAL NOT NULL,
            action TEXT NOT NULL -- JSON
        ) WITHOUT ROWID;
        CREATE TABLE latest (
            metric_id TEXT NOT NULL,
            resource_id TEXT NOT NULL,
            resource_scope TEXT NOT NULL,
            value REAL,
            band TEXT,
            observed_at REAL,
            missing_since REAL,
            missing_reason TEXT,
            PRIMARY KEY (metric_id, resource_id)
        ) WITHOUT ROWID;
        CREATE TABLE metrics_snapshots ( -- one for each window that is closed
            snapshot_id TEXT NOT NULL PRIMARY KEY,
            metric_id TEXT NOT NULL,
            resource_scope TEXT NOT NULL,
            resource_id TEXT NOT NULL,
            window_start TEXT NOT NULL, -- times are RFC 3339, to the second, in UTC
            window_end TEXT NOT NULL,
            aggregation TEXT NOT NULL,
            value REAL, -- what stands for the window, by the aggregation
            min REAL, max REAL, avg REAL, p95 REAL, -- absent where no sample has a value
            sample_count INTEGER NOT NULL,
            good_samples INTEGER NOT NULL,
            warning_samples INTEGER NOT NULL,
            critical_samples INTEGER NOT NULL,
            expected_samples INTEGER NOT NULL,
            missing_samples INTEGER NOT NULL,
            late_samples INTEGER NOT NULL,
            not_a_number_samples INTEGER NOT NULL,
            latest_band TEXT,
            derived_actions TEXT NOT NULL, -- JSON
            created_at TEXT NOT NULL,
            announced INTEGER NOT NULL DEFAULT 0 -- whether its event was emitted
        );
        CREATE INDEX snapshots_by_time ON metrics_snapshots (window_end, snapshot_id);
        CREATE INDEX snapshots_of_metric
            ON metrics_snapshots (metric_id, window_end, snapshot_id);
        CREATE INDEX snapshots_of_resource
            ON metrics_snapshots (resource_id, window_end, snapshot_id);
        CREATE INDEX snapshots_unannounced ON metrics_snapshots (window_end) WHERE announced = 0;
        """,
        # Which process sampled, so that it is known how many samples there should be.
        "ALTER TABLE samples ADD COLUMN sampler TEXT NOT NULL DEFAULT ''",
    ],
)
