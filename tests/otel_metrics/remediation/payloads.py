"""Three hundred values with which an attacker would try to leave an argument."""

from typing import Final

__all__ = ["PAYLOADS"]

_CHARACTERS: Final = (
    *";&|<>$`\"'\\*?[]{}()~#!%^=,: \t\n\r",
    *"\v\f\x01\x07\x08\x1b\x7f\x85\u00a0\u2028\u2029\u202e\u200b\ufeff\u00e9\uff1b\uff5c\U0001f600",
)
_COMMANDS: Final = (
    "; touch /tmp/owned",
    "&& id",
    "|| id",
    "| sh",
    "$(id)",
    "`id`",
    "${IFS}id",
    "$PATH",
    "${PATH}",
    "${target}",
    "{{7*7}}",
    "{0.__init__.__globals__}",
    "%(password)s",
    "%s%n",
    "%0a id",
    "%0d%0a",
    "\r\nHost: evil",
    "\nid\n",
    "> /etc/passwd",
    "< /etc/passwd",
    "../../etc/passwd",
    "/etc/passwd",
    "*",
    "?(*)",
    "{a,b}",
    "~root",
    "!!",
    "!$",
    "=id",
    "@/etc/passwd",
    "#{id}",
    "' OR '1'='1",
    '"; DROP TABLE runs; --',
    "\\x00",
    "\\n",
    "<!--#exec cmd=id-->",
    "http://169.254.169.254/",
    "file:///etc/passwd",
    "e\u0301 is no \u00e9",
    "a" * 1_000,
)

PAYLOADS: Final = tuple(
    dict.fromkeys(
        [
            *(
                f"{before}{character}{after}"
                for character in _CHARACTERS
                for before, after in (("", ""), ("a", "b"), ("a", ""), ("", "b"), ("a ", " --help"))
            ),
            *(f"{before}{command}" for command in _COMMANDS for before in ("", "a")),
        ]
    )
)
"""None of them is empty, begins with `-`, or holds NUL: those are refused."""
