"""One tab of the demo page: its fields, its model, and a function from values to values. Independent of Gradio."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mmbeit3.errors import UserError, printable

__all__ = ["Field", "Tab", "Table"]

_LOCK = threading.Lock()
"""Held while a model is loaded or runs: MMEngine's scopes are global, and memory is limited."""
_LONGEST_NAME = 4096


@dataclass(frozen=True)
class Table:
    """Rows of texts.

    Attributes:
        summary: one line about all rows.
        headers: titles of the columns.
        rows: the texts, one per column.
        colours: RGB, 0 to 255, the colour of each row's class in the picture.
    """

    summary: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    colours: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Field:
    """An input or an output of a tab.

    Attributes:
        kind: type of the value. ``'image'``: a path as input, uint8 (H, W, 3), RGB, as output; ``'text'``: a string;
            ``'fraction'``: a float from 0 to 1; ``'count'``: an integer from 1; ``'pixels'``: a number of pixels as a string,
            which may be empty; ``'scores'``: a dict from names to numbers from 0 to 1; ``'images'``: pairs of an image (as
            output) and its caption; ``'table'``: a :class:`Table`; ``'file'``: a pair of a file name and its bytes, or None.
        label: label on the page.
        value: initial value.
        hint: placeholder text.
        optional: True if an image may be missing.
        examples: texts to click, for any images.
        examples_of_shapes: texts to click, for images of the shapes dataset.
    """

    kind: Literal["image", "text", "fraction", "count", "pixels", "scores", "images", "table", "file"]
    label: str
    value: Any = None
    hint: str | None = None
    optional: bool = False
    examples: tuple[str, ...] = ()
    examples_of_shapes: tuple[str, ...] = ()


def _no_key(*_: Any) -> tuple[Any, ...]:
    return ()


@dataclass(eq=False)
class Tab:
    """A task on the page. Call it with the values of ``inputs`` to get the values of ``outputs``.

    Attributes:
        title: title of the tab.
        note: description of the model.
        button: label of the button.
        inputs: fields that the user fills.
        outputs: fields of the result.
        build: function that loads the model; its arguments are the values that ``key`` returns.
        predict: function from the model and the input values to the output values.
        key: function from the input values to the arguments of ``build``. If they change, the model is loaded again.
        folder: folder with images that suit the model, for examples; None if there is none.
    """

    title: str
    note: str
    button: str
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    build: Callable[..., Any]
    predict: Callable[..., tuple[Any, ...]]
    key: Callable[..., tuple[Any, ...]] = _no_key
    folder: Path | None = None
    _loaded: tuple[tuple[Any, ...], Any] | None = field(default=None, init=False, repr=False)

    def __call__(self, *values: Any) -> tuple[Any, ...]:
        """Predict. The first call loads the model. Only one tab runs at a time.

        Raises:
            UserError: if an image is missing, or the model or an input cannot be used.
        """
        self.check(*values)
        # A Path is always a local file. As a string, the value could be a URL, and a visitor could make the server request it.
        arguments = [
            Path(value) if field.kind == "image" and value is not None else value
            for field, value in zip(self.inputs, values, strict=True)
        ]
        try:
            with _LOCK:
                return self.predict(self._model(*values), *arguments)
        except UserError as error:
            raise UserError(_without_folders(str(error), [each for each in arguments if isinstance(each, Path)])) from error

    def check(self, *values: Any) -> None:
        """Check that the required images are given.

        Raises:
            UserError: if one is missing.
        """
        for each, value in zip(self.inputs, values, strict=True):
            if each.kind == "image" and value is None and not each.optional:
                raise UserError(f"the field '{each.label}' has no image: choose an image, or drop one on the field")

    def is_ready(self, *values: Any) -> bool:
        """Return True if the model for these values is loaded."""
        return self._loaded is not None and self._loaded[0] == self.key(*values)

    def load(self, *values: Any) -> None:
        """Load the model for these values.

        Raises:
            UserError: if it cannot be loaded.
        """
        with _LOCK:
            self._model(*values)

    def _model(self, *values: Any) -> Any:
        key = self.key(*values)
        if self._loaded is None or self._loaded[0] != key:
            # Release the old model first: two may not fit into memory.
            self._loaded = None
            self._loaded = key, self.build(*key)
        return self._loaded[1]


def _without_folders(message: str, paths: list[Path]) -> str:
    """Replace the paths of uploads by their names: their folder is temporary, and a visitor does not know it."""
    for path in paths:
        shown, name = printable(str(path), _LONGEST_NAME), printable(path.name, 255)
        for before in (f"image '{shown}'", f"'{shown}'"):
            message = message.replace(before, f"the file '{name}'")
        message = message.replace(shown, name)
    return message
