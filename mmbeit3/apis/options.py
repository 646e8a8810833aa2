"""Settings of a config on the command line."""

from __future__ import annotations

import argparse
from typing import Any

from mmbeit3.errors import one_line

__all__ = ["OptionsAction"]


class OptionsAction(argparse.Action):
    """MMEngine's reading of ``--cfg-options NAME=VALUE``, where a value that it cannot read is an error of the command line.

    MMEngine is imported when there is something to read.
    """

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        """Put names and values into the namespace."""
        from mmengine.config import DictAction

        read = DictAction(self.option_strings, self.dest)
        for value in values:
            if "=" not in value:
                raise argparse.ArgumentError(self, f"'{value}' is not of the form NAME=VALUE")
            try:
                read(parser, namespace, [value], option_string)
            except Exception as error:
                raise argparse.ArgumentError(
                    self, f"'{value}' cannot be read ({type(error).__name__}: {one_line(error)}): write it into a config"
                ) from error
