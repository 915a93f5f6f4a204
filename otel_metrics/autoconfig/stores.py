"""Opens the files and databases of domains whose paths are set. Without a path, nothing is written.

One that cannot be opened is named in one line and left out; the others are opened.
"""

from collections.abc import Callable, Iterator

from otel_metrics.archive.feed import EventFeed
from otel_metrics.autoconfig.settings import Settings
from otel_metrics.executions.store import EXECUTION_FILES, StoredExecutions
from otel_metrics.pipeline.logs import Store
from otel_metrics.skills.store import SKILL_FILES, SkillFiles
from otel_metrics.sovereignty import configured

__all__ = ["forget", "openers"]


def openers(settings: Settings, service: str | None) -> Iterator[tuple[str, Callable[[], Store]]]:
    """Return, for each store that has a path, its name and what opens it.

    Args:
        service: whose events are in the archive.
    """
    if settings.skills_dir is not None:
        folder = settings.skills_dir
        yield SKILL_FILES, lambda: SkillFiles(folder)
    if settings.executions_dir is not None:
        project = settings.executions_dir
        yield EXECUTION_FILES, lambda: StoredExecutions(project)
    sovereignty_db = settings.sovereignty_db
    if sovereignty_db is not None:
        yield "sovereignty_db", lambda: _open_sovereignty(sovereignty_db, settings, service)


def forget() -> None:
    """Let the domains' functions know of no store any more."""
    configured.use(None)


def _open_sovereignty(path: str, settings: Settings, service: str | None) -> Store:
    # Loads SQLite: for those who have set a path.
    from otel_metrics.sovereignty.store import SovereigntyStore

    store = SovereigntyStore(path)
    if "ndjson" in settings.metrics_exporters:
        archive = settings.ndjson.path
        store.follow(EventFeed(path=archive, prefix=store.events, service=service))
    configured.use(store)
    return store
