"""What a command that refuses its input says."""


def refused(result, *parts):
    """The command's last word is the one line of its error."""
    code, stderr = result
    assert code == 2
    assert stderr.startswith("error: ")
    assert stderr.count("\n") == 1
    assert all(part in stderr for part in parts), stderr
