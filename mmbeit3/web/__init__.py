"""The local web page that tries models of all tasks."""
