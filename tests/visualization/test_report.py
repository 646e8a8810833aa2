import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np

from mmbeit3.visualization import Figure, Section, write_report


def test_self_contained_and_escaped(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    section = Section("a < b", "<script>alert(1)</script>", {"AP & more": 12.345, "x": "<i>"}, [[Figure(image, 'one "two"')]])
    write_report(tmp_path / "deep" / "report.html", "Title <x>", [section])
    page = (tmp_path / "deep" / "report.html").read_text()
    assert "<script>" not in page
    assert "<i>" not in page
    assert "<td>12.3</td>" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    HTMLParser().feed(page)
    png = base64.b64decode(re.search(r"base64,([^\"]+)", page)[1])
    assert np.array_equal(cv2.imdecode(np.frombuffer(png, np.uint8), 1)[..., ::-1], image)
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["report.html"]
