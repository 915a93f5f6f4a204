"""`${parameter}` in what an operator wrote: a whole argument or a whole value, never a part. Pure.

Nothing is formatted or joined: a value takes the place of the token as it is, so that no character
of it can mean anything.
"""

import re
from collections.abc import Mapping
from typing import Final

from otel_metrics.catalog.fields import near
from otel_metrics.catalog.model import Parameter
from otel_metrics.remediation.model import Value
from otel_metrics.remediation.parameters import RESOURCE

__all__ = ["ARGUMENT_CHARS_MAX", "Body", "Token", "argument", "filled", "token"]

ARGUMENT_CHARS_MAX: Final = 4_096
"""Longest argument that an operator may write."""

Token = str | Parameter
"""A text as it stands, or the parameter whose value takes its place."""
Body = Mapping[str, "Body"] | tuple["Body", ...] | Token | int | float | bool | None
"""JSON in which parameters stand for values, of their own types."""

_PLACEHOLDER: Final = re.compile(r"\$\{([^{}]*)\}")


def token(text: str, parameters: Mapping[str, Parameter]) -> Token:
    """Return what a text stands for.

    Raises:
        ValueError: what is wrong, `; `, and what to do.
    """
    if len(text) > ARGUMENT_CHARS_MAX:
        raise ValueError(f"is longer than {ARGUMENT_CHARS_MAX:,} characters; make it shorter")
    if "\0" in text:
        raise ValueError("holds NUL; remove it")
    if "${" not in text:
        return text
    whole = _PLACEHOLDER.fullmatch(text)
    if whole is None:
        raise ValueError(
            f"{text!r} has a placeholder within a text; make ${{parameter}} an item of its own"
        )
    name = whole[1]
    if name == RESOURCE and name not in parameters:
        raise ValueError(
            "${resource} may be any resource that is known; list `targets`, the ids that it may be"
        )
    if name not in parameters:
        listed = f"its playbook has {', '.join(parameters) or 'no parameters'}"
        raise ValueError(
            f"there is no parameter {name!r}; {near(name, parameters, otherwise=listed)}"
        )
    return parameters[name]


def argument(token: Token, values: Mapping[str, Value]) -> str:
    """Return the argument of a program that a token stands for.

    Raises:
        ValueError: the value is missing, or the program could take it for an option.
    """
    if isinstance(token, str):
        return token
    if token.name not in values:
        raise ValueError(f"{token.name}: is missing; give it a value")
    value = values[token.name]
    text = value if isinstance(value, str) else repr(value)
    if "\0" in text:
        raise ValueError(f"{token.name}: holds NUL; remove it")
    if text.startswith("-") and not _may_be_option(token, text):
        raise ValueError(
            f"{token.name}={text[:80]!a}: begins with '-', as options do; give another value, or "
            "let the playbook say that it may: a choice, a pattern that begins with '-', or a "
            "minimum below 0"
        )
    return text


def filled(body: Body, values: Mapping[str, Value]) -> object:
    """Return what `json.dumps` takes, with values in place of parameters.

    Raises:
        ValueError: a value is missing.
    """
    if isinstance(body, Parameter):
        if body.name not in values:
            raise ValueError(f"{body.name}: is missing; give it a value")
        return values[body.name]
    if isinstance(body, Mapping):
        return {key: filled(item, values) for key, item in body.items()}
    if isinstance(body, tuple):
        return [filled(item, values) for item in body]
    return body


def _may_be_option(parameter: Parameter, text: str) -> bool:
    """Tell whether the playbook says in so many words that a value may begin with `-`.

    That a pattern such as `.*` matches it is no such word.
    """
    if parameter.type != "string":
        return parameter.minimum is not None and parameter.minimum < 0
    return text in parameter.choices or (parameter.pattern or "").startswith(("-", "\\-"))
