"""`OTEL_LOGS_EXPORTER=ndjson`: the service's own log records go into the event archive too.

The global LoggerProvider is joined, or set where there is none, and a handler on the root logger
feeds it. Records of the pipeline's own loggers are left out, so that the archive never feeds
itself.
"""

import logging
import time
from typing import Final

from opentelemetry._logs import SeverityNumber, get_logger_provider, set_logger_provider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.resources import Resource

from otel_metrics.pipeline.logs import ArchiveProcessor, make_provider

__all__ = ["ServiceLogHandler", "archive_service_logs"]

OWN_LOGGERS: Final = (
    "otel_metrics",
    "otel_exporter_ndjson",
    "otel_exporter_prometheus",
    "opentelemetry",
)
SEVERITIES: Final = {
    logging.DEBUG: SeverityNumber.DEBUG,
    logging.INFO: SeverityNumber.INFO,
    logging.WARNING: SeverityNumber.WARN,
    logging.ERROR: SeverityNumber.ERROR,
    logging.CRITICAL: SeverityNumber.FATAL,
}


class ServiceLogHandler(logging.Handler):
    """Hands log records of the standard library to an OTel LoggerProvider."""

    def __init__(self, provider: LoggerProvider) -> None:
        super().__init__()
        self._provider = provider

    def filter(self, record: logging.LogRecord) -> bool:
        """Leave out the pipeline's own records, before the handler's lock is taken."""
        return record.name.partition(".")[0] not in OWN_LOGGERS and bool(super().filter(record))

    def emit(self, record: logging.LogRecord) -> None:
        """Emit one record with its message, level, place and exception."""
        try:
            self._provider.get_logger(record.name).emit(
                timestamp=int(record.created * 1e9),
                observed_timestamp=time.time_ns(),
                severity_number=SEVERITIES.get(record.levelno, SeverityNumber.UNSPECIFIED),
                severity_text=record.levelname,
                body=record.getMessage(),
                attributes={
                    "code.file.path": record.pathname,
                    "code.function.name": record.funcName,
                    "code.line.number": record.lineno,
                },
                exception=record.exc_info[1] if record.exc_info else None,
            )
        except Exception:  # noqa: BLE001  # as the standard library's handlers do
            self.handleError(record)


def archive_service_logs(processor: ArchiveProcessor, made_of: Resource) -> ServiceLogHandler:
    """Let the service's log records reach the archive; return the handler that hands them on."""
    provider = get_logger_provider()
    if not isinstance(provider, LoggerProvider):
        provider = make_provider(made_of)
        set_logger_provider(provider)
    provider.add_log_record_processor(processor)
    handler = ServiceLogHandler(provider)
    logging.getLogger().addHandler(handler)
    return handler
