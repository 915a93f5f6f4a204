"""Wrong use in one line, `--option=value: what is wrong; what to do`: click's own errors too.

A command says by `click.BadParameter` what is wrong with a value that it was given: a message that
begins with the value, as `repr` writes it, has it moved behind the option.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import IO, Any, ClassVar, Final

import click
from click.core import ParameterSource

from otel_metrics.cli.formats import printable

__all__ = ["WrongUseError", "as_typed", "in_one_line", "nearest", "unknown"]

_VALUE: Final = re.compile(r"""(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|(-?[\d.]+)) (\w.*)""")
"""How click's messages begin: with the value, in quotation marks where it is no number."""


class WrongUseError(click.ClickException):
    """A command was used wrongly; the message is one whole line. Exit status 2."""

    exit_code: ClassVar[int] = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line on the error stream."""
        click.echo(printable(self.message).replace("\n", "\\n"), file=file, err=True)


def in_one_line(error: click.UsageError) -> WrongUseError:
    """Return an error of click as one line, which begins with what was typed."""
    return WrongUseError(_line(error))


def as_typed(message: str, names: Mapping[str, str]) -> str:
    """Return a message about an argument of a function, under the name of the option it came from.

    >>> as_typed("soft_limit=6: is above the limit", {"soft_limit": "--soft"})
    '--soft=6: is above the limit'
    """
    found = re.match(r"(\w+)(?=[=:])", message)
    if found is None or found[1] not in names:
        return message
    return names[found[1]] + message[found.end() :]


def nearest(wrong: str, known: Sequence[str]) -> str:
    """Return what was meant, as the end of a line; nothing where that is not clear."""
    near = difflib.get_close_matches(wrong, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def unknown(value: str, known: Sequence[str]) -> str:
    """Return what is wrong with a value that is none of several, and what they are.

    >>> unknown("dya", ("hour", "day"))
    'is not known; give hour or day; did you mean day?'
    """
    accepted = f"{', '.join(known[:-1])} or {known[-1]}"
    return f"is not known; give {accepted}{nearest(value.lower(), known)}"


def _line(error: click.UsageError) -> str:
    command = error.ctx.command_path if error.ctx else "otel-metrics"
    remedy = f"; {command} --help says what there is"
    match error:
        case click.MissingParameter():
            return f"{_name(error)}: is missing{remedy}"
        case click.BadParameter():
            return _bad_value(error)
        case click.NoSuchOption():
            meant = nearest(error.option_name, _options(error.ctx))
            return f"{error.option_name}: no such option{meant or remedy}"
        case click.BadOptionUsage():
            takes = "takes no value; leave it out" if "not" in error.message else "needs a value"
            return f"{error.option_name}: {takes}"
        case _:
            return f"{command}: {_plain(error.message)}{remedy}"


def _bad_value(error: click.BadParameter) -> str:
    found = _VALUE.fullmatch(error.message)
    if found is None:
        return f"{_name(error)}: {_plain(error.message)}"
    value = next(group for group in found.groups() if group is not None)
    kind = None if error.param is None else error.param.type
    if not isinstance(kind, click.Choice):
        return f"{_name(error)}={value}: {_plain(found[4])}"
    return f"{_name(error)}={value}: {unknown(value, [str(choice) for choice in kind.choices])}"


def _name(error: click.BadParameter) -> str:
    """Return what a value was given by: an option, a variable, or an argument by its place."""
    if isinstance(error.param_hint, str) or error.param is None:
        return str(error.param_hint or "a value").strip("'")
    name, variable = error.param.name, error.param.envvar
    source = error.ctx.get_parameter_source(name) if error.ctx and name else None
    if source is ParameterSource.ENVIRONMENT and isinstance(variable, str):
        return variable
    if isinstance(error.param, click.Option):
        return max(error.param.opts, key=len)
    return error.param.human_readable_name.strip("[].")


def _options(context: click.Context | None) -> Sequence[str]:
    if context is None:
        return ()
    return [name for each in context.command.get_params(context) for name in each.opts]


def _plain(message: str) -> str:
    """Return click's sentence as a part of one."""
    return (message[:1].lower() + message[1:]).rstrip(".")
