"""HTML of the page: texts of users and of models are escaped."""

from mmbeit3.web.style import status_html, table_html
from mmbeit3.web.tab import Table


def test_status():
    assert status_html() == '<div class="mm-status"><div role="status" class="mm-done"></div></div>'
    html = status_html("file <b>'a'</b>", "error")
    assert 'role="alert"' in html
    assert 'class="mm-error"' in html
    assert "File &lt;b&gt;" in html
    assert "<b>" not in html


def test_table():
    html = table_html(Table("1 <class>", ("Class", "Score"), (("<b>", "0.5"),), ((1, 2, 3),)))
    assert "<p>1 &lt;class&gt;</p>" in html
    assert "<th>Class</th><th>Score</th>" in html
    assert '<td><i style="background: rgb(1, 2, 3)"></i>&lt;b&gt;</td><td>0.5</td>' in html


def test_a_table_without_rows_or_without_a_table():
    assert table_html(Table("nothing", ("Class",), (), ())) == '<div class="mm-table"><p>nothing</p></div>'
    assert table_html(None) == ""
