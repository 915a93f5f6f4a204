"""The key with which commands sign what they change, so that a signed archive stays signed."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import click

from otel_exporter_ndjson import Segment
from otel_exporter_ndjson.fs import RealFs
from otel_exporter_ndjson.sealkey import SealKey
from otel_metrics.archive.signatures import signed_folders
from otel_metrics.cli import formats
from otel_metrics.cli.archive.options import EXIT_WRONG, KEY_VARIABLE, seal_key

__all__ = ["key_option", "keys_option", "signing_key", "unsigned_option"]

_Command = TypeVar("_Command", bound=Callable[..., object])


class _KeyFile(click.Path):
    """A path; a variable holds one of them, whatever characters are in it."""

    def split_envvar_value(self, rv: str) -> Sequence[str]:
        """Return the one path."""
        return [rv]


def key_option(text: str) -> Callable[[_Command], _Command]:
    """Return the option `--key-file`, of which `text` says what it is for."""
    return click.option("--key-file", type=_KeyFile(), envvar=KEY_VARIABLE, help=_told(text))


def _told(text: str) -> str:
    return f"{text} Default: {KEY_VARIABLE}."


keys_option: Final = click.option(
    "--key-file",
    "key_files",
    type=_KeyFile(),
    multiple=True,
    envvar=KEY_VARIABLE,
    help=_told("A key that seals are signed with; several where it was changed."),
)
unsigned_option: Final = click.option(
    "--unsigned", is_flag=True, help="Go on without a key where the archive is signed."
)


def signing_key(
    context: click.Context, found: Sequence[Segment], path: str | None, *, unsigned: bool
) -> SealKey | None:
    """Return the key of `--key-file`; end where an archive is signed and no key is given.

    What is written without it would never verify with the key again.
    """
    key = seal_key(context, path)
    if key is not None or unsigned:
        return key
    signed = signed_folders(RealFs(), found)
    if signed:
        message = (
            f"{signed[0]}: its seals are signed, and what is written now would not be; "
            f"give --key-file or {KEY_VARIABLE}, or --unsigned to go without"
        )
        click.echo(formats.printable(message), err=True)
        context.exit(EXIT_WRONG)
    return None
