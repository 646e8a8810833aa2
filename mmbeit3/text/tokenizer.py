"""BEiT-3's text tokenizer: a SentencePiece model with the token ids of XLM-R. Also trains new vocabularies."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from mmbeit3.errors import UserError
from mmbeit3.files import check_writable, write_atomically

__all__ = ["TextTokenizer", "report_unknown", "train_text_tokenizer"]

_LOGGER = logging.getLogger(__name__)

_PIECE_IDS = {"unk_id": 0, "bos_id": 1, "eos_id": 2, "pad_id": -1}
"""Ids of the special pieces in the SentencePiece model; with them, the XLM-R id of any other piece is its own id plus 1."""

_FIXED: dict[str, Any] = {
    **_PIECE_IDS,
    "shuffle_input_sentence": False,  # its samples differ between processes even with a fixed seed
}
_DEFAULTS: dict[str, Any] = {
    "model_type": "unigram",
    "character_coverage": 0.9995,
    "byte_fallback": False,
    "add_dummy_prefix": True,
    "normalization_rule_name": "nmt_nfkc",  # as in XLM-R; keeps upper and lower case
    "max_sentence_length": 1 << 16,
    "num_threads": 4,  # affects the order of float sums, so it must not depend on the machine
    "minloglevel": 2,
}
_RESERVED = {*_FIXED, "input", "sentence_iterator", "model_prefix", "model_writer", "vocab_size"}


class TextTokenizer:
    """SentencePiece tokenizer with XLM-R's token ids.

    ``<s>`` is 0, padding 1, ``</s>`` 2, unknown 3; every other piece has its SentencePiece id plus 1; the mask token follows
    the last piece. The released model has 64000 pieces, so 64002 ids are in use; the embedding tables are padded to 64010
    rows. The tokenizer can be pickled: the pickle contains the model, and the file is not read again.

    Args:
        path: file of the model, such as the released ``beit3.spm`` or one written by :func:`train_text_tokenizer`.

    Raises:
        UserError: if the file cannot be read, is not a SentencePiece model, or has other ids for its special pieces.
        ImportError: if sentencepiece is not installed.
    """

    bos_id = 0
    pad_id = 1
    eos_id = 2
    unk_id = 3

    def __init__(self, path: str | Path) -> None:
        library = _sentencepiece()
        try:
            proto = Path(path).read_bytes()
        except OSError as error:
            raise UserError(f"text tokenizer '{path}' cannot be read: {error.strerror or error}") from error
        self._pieces = library.SentencePieceProcessor()
        try:
            self._pieces.LoadFromSerializedProto(proto)
        except RuntimeError as error:
            raise UserError(
                f"text tokenizer '{path}' is not a SentencePiece model, or is incomplete: give the whole file"
            ) from error
        found = {name: getattr(self._pieces, name)() for name in ("unk_id", "bos_id", "eos_id")}
        if any(_PIECE_IDS[name] != piece for name, piece in found.items()):
            raise UserError(
                f"text tokenizer '{path}' has ids {', '.join(map(str, found.values()))} for <unk>, <s>, </s>, not 0, 1, 2: "
                "train it with train_text_tokenizer, or with these ids"
            )

    @property
    def _blank_id(self) -> int:
        """Id of the piece for a single space, which precedes unknown words; the unknown id if there is no such piece."""
        piece = int(self._pieces.piece_to_id("\u2581"))
        return self.unk_id if piece == _PIECE_IDS["unk_id"] else piece + 1

    @property
    def mask_id(self) -> int:
        """Id of the mask token, the last id in use; :meth:`encode` never returns it."""
        return int(self._pieces.get_piece_size()) + 1

    @property
    def vocab_size(self) -> int:
        """Number of ids in use, that of the mask token included; an embedding table needs at least this many rows."""
        return self.mask_id + 1

    def encode(self, text: str) -> list[int]:
        """Encode a text.

        Args:
            text: any text. Names of special tokens, such as ``<s>``, are encoded like other text.

        Returns:
            Ids without ``<s>`` and ``</s>``; an empty list for a text of whitespace only.

        Raises:
            UnicodeEncodeError: if the text has lone surrogates and is not valid Unicode.
        """
        text.encode()  # raises a clearer error about surrogates than sentencepiece
        return [self.unk_id if piece == _PIECE_IDS["unk_id"] else piece + 1 for piece in self._pieces.encode(text)]

    def is_all_unknown(self, ids: Iterable[int]) -> bool:
        """Return True if the ids of a text, as :meth:`encode` returns them, are all unknown: a model learns nothing from it."""
        return not set(ids) - {self.unk_id, self._blank_id}

    def decode(self, ids: Iterable[int]) -> str:
        """Decode ids to a text.

        Args:
            ids: token ids. Special ids (also unknown and mask) and the unused ids of a padded table above them are skipped.

        Returns:
            The text, as normalised by the encoding.

        Raises:
            ValueError: if an id is negative.
        """
        ids = [int(i) for i in ids]
        if min(ids, default=0) < 0:
            raise ValueError(f"cannot decode the negative id {min(ids)}")
        return str(self._pieces.decode([i - 1 for i in ids if self.unk_id < i < self.mask_id]))

    def piece(self, token: int) -> str:
        """Return the piece of an id, with ``▁`` where a word begins, or the name of a special token.

        Raises:
            ValueError: if the id is out of range.
        """
        named = {self.bos_id: "<s>", self.pad_id: "<pad>", self.eos_id: "</s>", self.unk_id: "<unk>", self.mask_id: "<mask>"}
        if token in named:
            return named[token]
        if not 0 <= token < self.mask_id:
            raise ValueError(f"id {token} is out of range: the vocabulary has the ids 0 to {self.mask_id}")
        return str(self._pieces.id_to_piece(token - 1))

    def batch(self, texts: Sequence[str], max_length: int, pad_to_max: bool = False) -> tuple[Tensor, Tensor]:
        """Encode texts to one padded tensor, each text between ``<s>`` and ``</s>``.

        Args:
            texts: at least one text, none of them empty.
            max_length: largest number of tokens of a text, ``<s>`` and ``</s>`` included. Longer texts are cut before ``</s>``.
            pad_to_max: True to pad to ``max_length`` instead of the longest text of the batch.

        Returns:
            Ids (B, T), int64, and padding mask (B, T), boolean, True = pad.

        Raises:
            UserError: if a text has no tokens; the message gives its index.
            ValueError: if there are no texts, or ``max_length`` has no room for a word.
        """
        if not texts or max_length < 3:
            raise ValueError(
                f"cannot batch {len(texts)} texts with max_length {max_length}: give at least 1 text and a max_length of 3"
            )
        encoded = [self.encode(text)[: max_length - 2] for text in texts]
        for index, ids in enumerate(encoded):
            if not ids:
                raise UserError(f"text {index} of the batch is empty ({texts[index][:20]!r}): leave such texts out")
        width = max_length if pad_to_max else max(map(len, encoded)) + 2
        tokens = torch.full((len(encoded), width), self.pad_id)
        padding_mask = torch.ones(len(encoded), width, dtype=torch.bool)
        for row, ids in enumerate(encoded):
            tokens[row, : len(ids) + 2] = torch.tensor([self.bos_id, *ids, self.eos_id])
            padding_mask[row, : len(ids) + 2] = False
        return tokens, padding_mask


def report_unknown(tokenizer: TextTokenizer, texts: Sequence[str], what: str) -> int:
    """Count the texts without any known word, such as those in another script, and log a warning if there are some.

    Args:
        tokenizer: the tokenizer.
        texts: the texts; texts that are not valid Unicode are not counted, because other code refuses them.
        what: what the texts are, for the message.

    Returns:
        Number of these texts.
    """
    found = []
    for text in texts:
        try:
            ids = tokenizer.encode(text)
        except UnicodeEncodeError:
            continue
        if ids and tokenizer.is_all_unknown(ids):
            found.append(text)
    if found:
        _LOGGER.warning(
            "%d of %d %s (%.0f%%) are all unknown to the vocabulary, such as %r: give a tokenizer of their language",
            *(len(found), len(texts), what, 100 * len(found) / len(texts), found[0][:40]),
        )
    return len(found)


def train_text_tokenizer(texts: Iterable[str], out: str | Path, vocab_size: int = 64000, **options: Any) -> Path:
    """Train a vocabulary for :class:`TextTokenizer`: unigram pieces, ``▁`` before words, case kept, no byte fallback.

    The same texts in the same order and the same options give the same file.

    Args:
        texts: the texts, iterated once. Texts above 65536 bytes (``max_sentence_length``) are skipped.
        out: file to write. Its folder is created if necessary. The file appears only when it is complete.
        vocab_size: number of pieces, including ``<unk>``, ``<s>`` and ``</s>``. The tokenizer adds padding and mask.
        **options: further options of sentencepiece's trainer, such as ``character_coverage`` (default 0.9995), or
            ``input_sentence_size`` to use only the first texts: shuffle sorted texts before.

    Returns:
        ``out``.

    Raises:
        UserError: if ``out`` cannot be written (checked first), the texts are too few for ``vocab_size`` pieces or have more
            different characters than that, or sentencepiece rejects an option.
        ValueError: for an option that this function sets.
        ImportError: if sentencepiece is not installed.
    """
    if taken := _RESERVED & options.keys():
        raise ValueError(f"train_text_tokenizer sets {', '.join(sorted(taken))} itself: leave it out")
    library = _sentencepiece()
    out = Path(out)
    check_writable(out)
    source, model = _Texts(texts), io.BytesIO()
    try:
        library.SentencePieceTrainer.train(
            sentence_iterator=iter(source), model_writer=model, vocab_size=vocab_size, **_FIXED, **_DEFAULTS | options
        )
    except (RuntimeError, ValueError) as error:
        if source.failure is not None:
            raise source.failure from None
        raise UserError(f"text vocabulary '{out}': {_explain(str(error), vocab_size)}") from error
    write_atomically(out, model.getvalue())
    return out


class _Texts:
    """Iterable of texts for the trainer. Stores an error of the iterable, because the trainer reports only the error's name."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = texts
        self.failure: Exception | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            for index, text in enumerate(self.texts):
                try:
                    yield text.encode()
                except UnicodeEncodeError as error:
                    raise UserError(
                        f"text {index} for the vocabulary is not valid Unicode ({error.reason}): remove it"
                    ) from error
        except Exception as error:
            self.failure = error
            raise


def _explain(message: str, vocab_size: int) -> str:
    """Translate sentencepiece's error into a message that says what to do."""
    if most := re.search(r"size too high .*<= (\d+)", message):
        return f"the texts give at most {most[1]} pieces, not {vocab_size}: give more text or a smaller vocab_size"
    if least := re.search(r"smaller than required_chars.* vs (\d+)", message):
        return f"the characters of the texts alone need {least[1]} pieces, more than {vocab_size}: raise vocab_size"
    if "sentences_.empty()" in message or "all_chars_count" in message:
        return "no text to train on (blank texts and texts above max_sentence_length bytes are skipped): give more text"
    return f"sentencepiece reports an error: {' '.join(message.split())}"


def _sentencepiece() -> ModuleType:
    """Import sentencepiece on first use: it is an optional dependency."""
    try:
        import sentencepiece
    except ImportError as error:
        raise ImportError(f"sentencepiece cannot be imported ({error}): pip install 'mmbeit3[pretrain]'") from error
    return sentencepiece
