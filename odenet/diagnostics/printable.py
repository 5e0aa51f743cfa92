"""Makes text from users and files safe to print in a terminal."""

import shlex


def printable(text: object) -> str:
    """The text with U+FFFD in place of every character that a terminal or an editor would act on.

    Such characters are escapes, line ends, controls of the writing direction, and invalid UTF-8.
    """
    string = str(text)
    return "".join(char if char.isprintable() or char == "\t" else "\ufffd" for char in string)


def printable_lines(text: str) -> str:
    """A text of several lines, each made `printable`; the line ends stay."""
    return "\n".join(map(printable, text.split("\n")))


def shell_quoted(path: object) -> str:
    """A path, quoted for the shell, for a command that a message proposes."""
    return shlex.quote(printable(path))
