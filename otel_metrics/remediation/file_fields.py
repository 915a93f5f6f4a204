"""The keys of one mapping of the operator's file, with what only this file has: times, counts,
texts that are kept to the character."""

from collections.abc import Collection, Mapping

from otel_metrics.catalog.fields import Fields, Report
from otel_metrics.yaml_source import Node

__all__ = ["FileFields"]


class FileFields(Fields):
    """As `Fields`; `within` gives those of a mapping that is the value of a key."""

    def __init__(self, node: Node, path: str, report: Report, *, known: Collection[str]) -> None:
        super().__init__(node, path, report, known=known)
        self.report = report

    def within(self, key: str, *, known: Collection[str]) -> "FileFields":
        """Return the mapping under a key, an empty one where there is none."""
        node = self.node(key) or Node(value={}, line=self.line(key))
        return FileFields(node, self.path(key), self.report, known=known)

    def entries(self, key: str) -> tuple[str, ...]:
        """Return the keys of the mapping under a key."""
        node = self.node(key)
        if node is None:
            return ()
        if not isinstance(node.value, Mapping):
            self.refuse(key, "is no mapping", "make it a mapping of keys and values")
            return ()
        return tuple(node.value)

    def duration(self, key: str, default_s: float, *, least_s: float, most_s: float) -> float:
        """Return a time in seconds."""
        node = self.node(key)
        if node is None:
            return default_s
        seconds = self.seconds(key)
        if seconds is None:
            self.refuse(key, f"{_shown(node)} is no time", "write one such as 30s, 10m or 1h")
            return default_s
        if not least_s <= seconds <= most_s:
            remedy = f"write {least_s:g}s to {most_s:g}s"
            self.refuse(key, f"{_shown(node)} is out of bounds", remedy)
            return default_s
        return seconds

    def whole(self, key: str, default: int, *, least: int, most: int) -> int:
        """Return a whole number."""
        node = self.node(key)
        if node is None:
            return default
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            remedy = f"write a whole number from {least:,} to {most:,}"
            self.refuse(key, f"{_shown(node)} is none", remedy)
            return default
        return value

    def exact(self, key: str, *, required: str = "") -> str:
        """Return a text with each of its characters, "" where there is none."""
        text = self.text(key, required=required)
        node = self.node(key)
        return node.value if text and node is not None and isinstance(node.value, str) else ""

    def texts(self, key: str, *, most: int) -> tuple[tuple[int, str], ...]:
        """Return the texts of a list, each with its index; what is none is refused."""
        items = self.items(key)
        if len(items) > most:
            self.refuse(key, f"has {len(items):,} items", f"keep at most {most:,}")
            return ()
        found = []
        for index, item in enumerate(items):
            if isinstance(item.value, str):
                found.append((index, item.value))
            else:
                self.refuse_item(key, index, "is no text", "put it in quotation marks")
        return tuple(found)

    def refuse_item(self, key: str, index: int, message: str, remedy: str) -> None:
        """Report a problem with one item of the list under a key."""
        items = self.items(key)
        self.report.add(items[index].line, f"{self.path(key)}[{index}]", message, remedy)


def _shown(node: Node) -> str:
    return repr(str(node.plain())[:60])
