"""Output of libraries goes to the log of a quiet command, and comes back if a bug ends it before there is a log."""

import sys

import pytest

from mmbeit3.errors import UserError
from mmbeit3.terminal import current_terminal, format_duration, quiet_terminal


def test_output_of_libraries_goes_to_the_log(capsys):
    log = []
    with quiet_terminal():
        print("early")
        terminal = current_terminal()
        terminal.divert_to(log.append)
        print("late", file=sys.stderr)
        terminal.print("mine")
        terminal.warn("careful")
    print("after")
    assert capsys.readouterr() == ("mine\nafter\n", "careful\n")
    assert "".join(log) == "early\nlate\n"
    assert current_terminal() is None


@pytest.mark.parametrize(("error", "shown"), [(RuntimeError("bug"), "clue\n"), (UserError("known"), "")])
def test_a_bug_before_the_log_shows_what_libraries_printed(capsys, error, shown):
    def fail():
        print("clue")
        raise error

    with pytest.raises(type(error)), quiet_terminal():
        fail()
    assert capsys.readouterr() == ("", shown)


def test_verbose_changes_nothing(capsys):
    with quiet_terminal(False):
        print("all")
        assert current_terminal() is None
    assert capsys.readouterr().out == "all\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (7200, "2 h"),
        (7500, "2 h 5 min"),
        (273600, "3 d 4 h"),
    ],
)
def test_durations(seconds, text):
    assert format_duration(seconds) == text
