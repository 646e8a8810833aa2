"""Reading YAML with types checked: an error names the file, the entry and the field."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mmbeit3.errors import UserError, one_line

__all__ = ["CheckedMapping"]


class CheckedMapping:
    """A mapping of a YAML file.

    Args:
        content: the parsed YAML.
        where: file and entry, for error messages.

    Raises:
        UserError: if the content is not a mapping.
    """

    def __init__(self, content: object, where: str) -> None:
        if not isinstance(content, Mapping):
            raise UserError(f"{where} must be a mapping of names to values, got {content!r:.100}")
        self._content = content
        self.where = where

    @classmethod
    def of_file(cls, path: Path) -> CheckedMapping:
        """Read a YAML file.

        Raises:
            UserError: if the file cannot be read or is not a YAML mapping.
        """
        try:
            return cls(yaml.safe_load(path.read_text(encoding="utf-8")), f"'{path}'")
        except FileNotFoundError as error:
            raise UserError(f"'{path}' does not exist") from error
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UserError(f"'{path}' cannot be read ({one_line(error)})") from error

    def get(self, key: str, kind: type, required: bool = False) -> Any:
        """Return a value; None if it is missing or ``unknown``.

        Raises:
            UserError: if the value has another type, or is missing although it is required.
        """
        value = self._content.get(key)
        if value is None or value == "unknown":
            if required:
                raise UserError(f"{self.where}: '{key}' is missing")
            return None
        if not isinstance(value, kind) or isinstance(value, bool):
            raise UserError(f"{self.where}: '{key}' must be {kind.__name__}, got {value!r}")
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        """Return a list of strings; empty if it is missing."""
        values = self.get(key, list) or []
        if not all(isinstance(value, str) for value in values):
            raise UserError(f"{self.where}: '{key}' must be a list of strings, got {values!r}")
        return tuple(values)

    def section(self, key: str) -> CheckedMapping:
        """Return a nested mapping; empty if it is missing."""
        return CheckedMapping(self._content.get(key) or {}, f"{self.where}, {key}")

    def sections(self, key: str) -> list[CheckedMapping]:
        """Return a list of mappings; empty if it is missing. Error messages name each by its ``Name`` or its position."""
        sections = []
        for number, value in enumerate(self.get(key, list) or []):
            name = value.get("Name", number) if isinstance(value, Mapping) else number
            sections.append(CheckedMapping(value, f"{self.where}, {key} {name}"))
        return sections

    def numbers(self) -> dict[str, float]:
        """Return all values as numbers."""
        for name, value in self._content.items():
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise UserError(f"{self.where}: '{name}' must be a number, got {value!r}")
        return {str(name): float(value) for name, value in self._content.items()}
