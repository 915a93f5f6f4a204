"""Why a request or a decision is not taken.

RemediationError
├── UnknownApprovalError   there is no such approval
├── DecidedError           it is decided, expired or used already
├── NotAllowedError        this actor may not decide on it
└── LedgerError            the ledger or the audit cannot be read or written
"""

from otel_metrics.errors import OtelMetricsError

__all__ = [
    "DecidedError",
    "LedgerError",
    "NotAllowedError",
    "RemediationError",
    "UnknownApprovalError",
]


class RemediationError(OtelMetricsError):
    """What remediation raises on purpose."""


class UnknownApprovalError(RemediationError, LookupError):
    """There is no approval of that id."""


class DecidedError(RemediationError):
    """The approval waits for no decision: it is decided, expired or used."""


class NotAllowedError(RemediationError):
    """This actor may not decide: who asked may not approve tier 3 and 4."""


class LedgerError(RemediationError):
    """The ledger or the audit cannot be read or written, so nothing may be done."""
