from __future__ import annotations

import pytest

from had.cli.options import parse
from had.config.load import ConfigErrors, load


class Conf:
    """Loads texts as had.conf."""

    lan = "[links]\n[[lan]]\nnetwork = 10.1.0.0/24\n"
    """The least that a file needs; to stand at its end."""

    def __init__(self, path):
        self.path = path

    def load(self, text, *argv, uname="alpha.example.com"):
        self.path.write_text(text, encoding="utf-8")
        return load(parse(["-F", str(self.path), *argv]), uname=uname)

    def mistakes(self, text, *argv, uname="alpha.example.com"):
        """The complaints, one "LINE: TEXT" each; "-: TEXT" for the command line's."""
        with pytest.raises(ConfigErrors) as caught:
            self.load(text, *argv, uname=uname)
        lines = []
        for complaint in caught.value.complaints:
            if complaint.file == "command line":
                lines.append(f"-: {complaint.text}")
                assert str(complaint) == f"command line: {complaint.text}"
            else:
                assert complaint.file == str(self.path)
                lines.append(f"{complaint.line}: {complaint.text}")
                place = f"{self.path}:{complaint.line}" if complaint.line else str(self.path)
                assert str(complaint) == f"{place}: {complaint.text}"
        assert str(caught.value).splitlines() == [str(complaint) for complaint in caught.value.complaints]
        return lines


@pytest.fixture
def conf(tmp_path):
    return Conf(tmp_path / "had.conf")
