"""Texts to token ids and back: a SentencePiece vocabulary under XLM-R's id convention, as BEiT-3 uses it."""

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
"""Where sentencepiece itself must have its special pieces, for all other pieces to move up by one."""

_FIXED: dict[str, Any] = {
    **_PIECE_IDS,
    "shuffle_input_sentence": False,  # sentencepiece's samples differ from one process to the next, whatever its seed
}
_DEFAULTS: dict[str, Any] = {
    "model_type": "unigram",
    "character_coverage": 0.9995,
    "byte_fallback": False,
    "add_dummy_prefix": True,
    "normalization_rule_name": "nmt_nfkc",  # the one of XLM-R; it keeps the case
    "max_sentence_length": 1 << 16,
    "num_threads": 4,  # sums are split by it, so it must not follow the machine
    "minloglevel": 2,
}
_OURS = {*_FIXED, "input", "sentence_iterator", "model_prefix", "model_writer", "vocab_size"}


class TextTokenizer:
    """A SentencePiece model whose ids are numbered as XLM-R does.

    ``<s>`` is 0, padding 1, ``</s>`` 2, unknown 3; every other piece has sentencepiece's own id plus one; the mask token
    follows the last piece. The released models have 64000 pieces, so that 64002 ids are in use, in tables padded to 64010
    rows. Can be pickled: the model travels along, the file is not read again.

    Args:
        path: file of the model, such as the released ``beit3.spm`` or one by :func:`train_text_tokenizer`.

    Raises:
        UserError: if the file cannot be read, is no SentencePiece model, or numbers its special pieces in another way.
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
            raise UserError(f"text tokenizer '{path}' is no SentencePiece model, or only a part of one") from error
        found = {name: getattr(self._pieces, name)() for name in ("unk_id", "bos_id", "eos_id")}
        if any(_PIECE_IDS[name] != piece for name, piece in found.items()):
            raise UserError(
                f"text tokenizer '{path}' has <unk>, <s>, </s> at {', '.join(map(str, found.values()))}, not at 0, 1, 2: "
                "train it with train_text_tokenizer, or with these ids"
            )

    @property
    def _blank_id(self) -> int:
        """Id of a blank alone, which stands before unknown words; the unknown one's where no piece is a blank."""
        piece = int(self._pieces.piece_to_id("\u2581"))
        return self.unk_id if piece == _PIECE_IDS["unk_id"] else piece + 1

    @property
    def mask_id(self) -> int:
        """Id of the mask token, the last one in use; no text is ever encoded to it."""
        return int(self._pieces.get_piece_size()) + 1

    @property
    def vocab_size(self) -> int:
        """Number of ids in use, the mask token's included; an embedding table needs at least as many rows."""
        return self.mask_id + 1

    def encode(self, text: str) -> list[int]:
        """Encode a text.

        Args:
            text: any text. The names of special tokens in it are text like any other.

        Returns:
            Ids without ``<s>`` and ``</s>``; none for a text of nothing but whitespace.

        Raises:
            UnicodeEncodeError: if the text has lone surrogates, and so is no valid Unicode.
        """
        text.encode()  # sentencepiece's own words about surrogates are no help
        return [self.unk_id if piece == _PIECE_IDS["unk_id"] else piece + 1 for piece in self._pieces.encode(text)]

    def knows_nothing_of(self, ids: Iterable[int]) -> bool:
        """Whether a text's ids, as :meth:`encode` gives them, are all of unknown words: a model learns nothing from them."""
        return not set(ids) - {self.unk_id, self._blank_id}

    def decode(self, ids: Iterable[int]) -> str:
        """Put a text together from ids.

        Args:
            ids: ids. Special ones (unknown and mask among them) and those above, which are rows of a padded table that
                stand for nothing, are skipped.

        Returns:
            The text, in the normalised form in which it was encoded.

        Raises:
            ValueError: if an id is negative.
        """
        ids = [int(i) for i in ids]
        if min(ids, default=0) < 0:
            raise ValueError(f"cannot decode the negative id {min(ids)}")
        return str(self._pieces.decode([i - 1 for i in ids if self.unk_id < i < self.mask_id]))

    def piece(self, token: int) -> str:
        """What an id stands for: a piece, with ``▁`` where a word begins, or the name of a special token.

        Raises:
            ValueError: if the id stands for nothing.
        """
        named = {self.bos_id: "<s>", self.pad_id: "<pad>", self.eos_id: "</s>", self.unk_id: "<unk>", self.mask_id: "<mask>"}
        if token in named:
            return named[token]
        if not 0 <= token < self.mask_id:
            raise ValueError(f"id {token} stands for nothing: the vocabulary ends at {self.mask_id}")
        return str(self._pieces.id_to_piece(token - 1))

    def batch(self, texts: Sequence[str], max_length: int, pad_to_max: bool = False) -> tuple[Tensor, Tensor]:
        """Encode texts to one tensor, each between ``<s>`` and ``</s>``.

        Args:
            texts: at least one text, none of them empty.
            max_length: most tokens of a text, ``<s>`` and ``</s>`` included; the rest is cut off, ``</s>`` never.
            pad_to_max: pad to ``max_length`` instead of the longest text of the batch.

        Returns:
            Ids (B, T), int64, and padding mask (B, T), boolean, True = pad.

        Raises:
            UserError: if a text has no tokens; the message names its index.
            ValueError: if there are no texts, or there is no room for any word.
        """
        if not texts or max_length < 3:
            raise ValueError(f"cannot batch {len(texts)} texts at max_length {max_length}: at least 1 text and length 3")
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
    """Log how many texts are all unknown to a vocabulary, as those of another script or language may be; nothing if none is.

    Args:
        tokenizer: the vocabulary.
        texts: texts; those that are no valid Unicode count as known, as they are refused elsewhere.
        what: what to call them.

    Returns:
        How many there are.
    """
    found = []
    for text in texts:
        try:
            ids = tokenizer.encode(text)
        except UnicodeEncodeError:
            continue
        if ids and tokenizer.knows_nothing_of(ids):
            found.append(text)
    if found:
        _LOGGER.warning(
            "%d of %d %s (%.0f%%) are all unknown to the vocabulary, such as %r: give a tokenizer of their language",
            *(len(found), len(texts), what, 100 * len(found) / len(texts), found[0][:40]),
        )
    return len(found)


def train_text_tokenizer(texts: Iterable[str], out: str | Path, vocab_size: int = 64000, **options: Any) -> Path:
    """Train a vocabulary that :class:`TextTokenizer` reads: unigram pieces, ``▁`` before words, case kept, no bytes.

    The same texts in the same order and the same options give the same file.

    Args:
        texts: the texts, read once. Those above 65536 bytes (``max_sentence_length``) are left out.
        out: file to write; its folder is made if need be. It is there only when complete.
        vocab_size: number of pieces, ``<unk>``, ``<s>`` and ``</s>`` among them. The tokenizer adds padding and mask.
        **options: further options of sentencepiece's trainer, such as ``character_coverage`` (0.9995 unless given) or
            ``input_sentence_size`` to take only so many texts, the first ones: shuffle before if they are sorted.

    Returns:
        ``out``.

    Raises:
        UserError: if ``out`` cannot be written, which is tried first; the texts don't suffice for so many pieces, or have more
            letters than that; or sentencepiece rejects an option.
        ValueError: for options that are set here.
        ImportError: if sentencepiece is not installed.
    """
    if taken := _OURS & options.keys():
        raise ValueError(f"train_text_tokenizer sets {', '.join(sorted(taken))} itself")
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
    """Texts on their way to the trainer; keeps the error that ends them, of which the trainer gives only the name."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = texts
        self.failure: Exception | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            for index, text in enumerate(self.texts):
                try:
                    yield text.encode()
                except UnicodeEncodeError as error:
                    raise UserError(f"text {index} for the vocabulary is no valid Unicode: {error.reason}") from error
        except Exception as error:
            self.failure = error
            raise


def _explain(message: str, vocab_size: int) -> str:
    """Say in our words why sentencepiece refused to train."""
    if most := re.search(r"size too high .*<= (\d+)", message):
        return f"the texts yield at most {most[1]} pieces, not {vocab_size}: give more text or a smaller vocab_size"
    if least := re.search(r"smaller than required_chars.* vs (\d+)", message):
        return f"the texts' letters alone need {least[1]} pieces, more than {vocab_size}: raise vocab_size"
    if "sentences_.empty()" in message or "all_chars_count" in message:
        return "there is no text to train on (blank ones and those above max_sentence_length bytes don't count)"
    return f"sentencepiece refuses: {' '.join(message.split())}"


def _sentencepiece() -> ModuleType:
    """Import the library when it is needed."""
    try:
        import sentencepiece
    except ImportError as error:
        raise ImportError(f"sentencepiece cannot be imported ({error}): pip install 'mmbeit3[pretrain]'") from error
    return sentencepiece
