"""What comes from outside (names, descriptions, options) as text that is only shown."""

import shlex


def printable(text: object) -> str:
    """A text on one line, with a stand-in for what a terminal or an editor would act on.

    That is escapes, line ends, controls of the writing direction, and bytes that were not UTF-8.
    """
    shown = str(text)
    return "".join(char if char.isprintable() or char == "\t" else "\ufffd" for char in shown)


def printable_lines(text: str) -> str:
    """The same for a text of several lines."""
    return "\n".join(map(printable, text.split("\n")))


def typed(path: object) -> str:
    """A path as it is typed in a command that a message proposes."""
    return shlex.quote(printable(path))
