"""The text of had.conf, or one clear line about why it can't be had."""

from __future__ import annotations

import os
import stat
import unicodedata
from typing import Optional

from had.config.complaints import Complaint, ConfigErrors
from had.config.foreign import foreign_syntax

_LARGEST = 128 * 1024
_LONGEST_LINE = 20_000
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read_lines(path: str, *, required: bool) -> Optional[list[str]]:
    """Return the lines of a file; None if it is not there and not required.

    A byte order mark and line ends of other systems are taken as they come.  Raises ConfigErrors.
    """
    try:
        content = _read(path)
    except FileNotFoundError as problem:
        if not required:
            return None
        raise _refused(path, 0, f"cannot be read: {problem.strerror}") from None
    except OSError as problem:
        raise _refused(path, 0, f"cannot be read: {problem.strerror}") from None
    if len(content) > _LARGEST:
        raise _refused(path, 0, f"is larger than {_LARGEST // 1024} KiB; that can't be a had.conf")
    if content.startswith(_BYTE_ORDER_MARKS):
        raise _refused(path, 1, "is written in UTF-16; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        byte = content[problem.start]
        raise _refused(
            path, line, f"has the byte 0x{byte:02x}, which is not UTF-8; save it as UTF-8"
        ) from None
    lines = text.replace("\r\n", "\n").split("\n")
    _check_lines(path, lines)
    return lines


def _read(path: str) -> bytes:
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise OSError(0, "it is a directory")
    if not stat.S_ISREG(mode):
        # Reading a pipe or a terminal could take for ever.
        raise OSError(0, "it is not a regular file")
    with open(path, "rb") as file:
        return file.read(_LARGEST + 1)


def _check_lines(path: str, lines: list[str]) -> None:
    for number, line in enumerate(lines, 1):
        if len(line) > _LONGEST_LINE:
            raise _refused(path, number, f"this line has more than {_LONGEST_LINE} characters")
        for character in line:
            if unicodedata.category(character) in ("Cc", "Zl", "Zp") and character != "\t":
                raise _refused(path, number, f"has the control character {character!a}; is it a text file?")
    foreign = foreign_syntax(lines)
    if foreign:
        raise _refused(path, *foreign)
    if not any(line.strip() and not line.strip().startswith("#") for line in lines):
        raise _refused(path, 0, "says nothing: it has neither a key nor a section")


def _refused(path: str, line: int, text: str) -> ConfigErrors:
    return ConfigErrors([Complaint(path, line, text)])
