"""A group of commands that loads each when it is called, so that no command pays for another.

Wrong use, of the group or of a command below it, is told in one line.
"""

import contextlib
import importlib
import keyword
from collections.abc import Iterator, Mapping
from typing import Any

import click
from click.exceptions import NoArgsIsHelpError

from otel_metrics.cli.wrong_use import WrongUseError, in_one_line, nearest

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

    def make_context(self, *arguments: Any, **named: Any) -> click.Context:
        """Read the arguments; wrong ones are a line."""
        with _told():
            return super().make_context(*arguments, **named)

    def invoke(self, ctx: click.Context) -> Any:
        """Call the command; what is wrong with its arguments is a line."""
        with _told():
            return super().invoke(ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; where there is none, say which was meant."""
        if args[0] in self._summaries or args[0].startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        known = list(self._summaries)
        meant = nearest(args[0], known) or f"; there is {', '.join(known)}"
        raise WrongUseError(f"{ctx.command_path} {args[0]}: no such command{meant}")

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


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except NoArgsIsHelpError:  # a group without a command: its help is the message
        raise
    except click.UsageError as error:
        raise in_one_line(error) from error
