"""Opens the files and databases of domains whose paths are set. Without a path, nothing is written.

One that cannot be opened is named in one line and left out; the others are opened.
"""

from collections.abc import Callable, Iterator

from otel_metrics.autoconfig.settings import Settings
from otel_metrics.executions.store import EXECUTION_FILES, StoredExecutions
from otel_metrics.pipeline.logs import Store
from otel_metrics.skills.store import SKILL_FILES, SkillFiles

__all__ = ["openers"]


def openers(settings: Settings) -> Iterator[tuple[str, Callable[[], Store]]]:
    """Return, for each store that has a path, its name and what opens it."""
    if settings.skills_dir is not None:
        folder = settings.skills_dir
        yield SKILL_FILES, lambda: SkillFiles(folder)
    if settings.executions_dir is not None:
        project = settings.executions_dir
        yield EXECUTION_FILES, lambda: StoredExecutions(project)
