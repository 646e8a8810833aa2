"""The page of the zoo agrees with the index."""

import re

from mmbeit3 import zoo
from tests.paths import ROOT

PAGE = ROOT / "docs" / "zoo.md"


def test_tables():
    match = re.search(r"<!-- files: .* -->\n(.*)<!-- end of files -->", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert match[1] == f"\n{zoo.markdown_tables()}\n", "paste the output of python tools/download.py --list --markdown"


def test_names_and_tasks_in_commands():
    commands = re.findall(r"^python tools/download\.py (.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(commands) >= 4
    names = [name for command in commands for name in re.findall(r"^(?!--)\S+", command)]
    names += re.findall(r"zoo\.(?:fetch|load)\(\"([^\"]+)\"", PAGE.read_text(encoding="utf-8"))
    assert len(names) >= 4
    assert all(zoo.find(name).sources for name in names)
    assert all(zoo.files_for_task(task) for command in commands for task in re.findall(r"--all-for (\S+)", command))
