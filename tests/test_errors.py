"""Messages can be printed, whatever is in them."""

import io
import pickle
import sys

import pytest

from mmbeit3.cli import run
from mmbeit3.errors import UserError, one_line

LATIN = "caf\udce9"
"""A file's name in Latin-1, as Python has it."""


def test_messages_are_text():
    error = UserError(f"image '{LATIN} ü' is none")
    assert str(error) == str(pickle.loads(pickle.dumps(error))) == "image 'caf? ü' is none"
    assert one_line(f"{LATIN}\n\tb") == "caf? b"


def test_commands_print_any_name(monkeypatch):
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="utf-8", write_through=True))
    run(lambda: print(f"picture in {LATIN}"))
    assert out.getvalue() == b"picture in caf\\udce9\n"


def test_commands_refuse_any_name(capsys):
    def refuse():
        raise UserError(f"image '{LATIN}' is none")

    with pytest.raises(SystemExit):
        run(refuse)
    assert capsys.readouterr().err == "error: image 'caf?' is none\n"
