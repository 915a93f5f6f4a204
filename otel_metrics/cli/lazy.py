"""A group of commands that loads each when it is called, so that no command pays for another."""

import importlib
import keyword
from collections.abc import Mapping
from typing import Any

import click

__all__ = ["LazyGroup"]


class LazyGroup(click.Group):
    """Finds `<package>.<command>`, which holds the command under the same name.

    A word that Python keeps for itself has an underscore behind it there: `import_`.

    Args:
        package: where the modules of the commands lie.
        summaries: every command with its line in the help.
    """

    def __init__(
        self, *arguments: Any, package: str, summaries: Mapping[str, str], **named: Any
    ) -> None:
        super().__init__(*arguments, **named)
        self._package = package
        self._summaries = summaries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        del ctx
        return list(self._summaries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command; None for a name that there is not."""
        del ctx
        if cmd_name not in self._summaries:
            return None
        name = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        command = getattr(importlib.import_module(f"{self._package}.{name}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without loading any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(self._summaries.items()))
