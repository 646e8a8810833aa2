"""A hook that shows reconstructions during pretraining."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor

from mmbeit3.pretrain.image_tokenizers import codes_for_grid
from mmbeit3.pretrain.pictures import CodePatches, draw_reconstruction, side_by_side
from mmbeit3.registry import HOOKS
from mmbeit3.text import TextTokenizer

__all__ = ["ReconstructionHook", "format_reconstruction"]


@HOOKS.register_module()
class ReconstructionHook(Hook):
    """Show what :class:`~mmbeit3.pretrain.pretrainer.BEiT3Pretrainer` predicts at masked positions of fixed samples.

    The samples come from the first training step. MMEngine's visualizer gets one picture for each stream with images. It has
    one row per sample: the image, the masked image, and its masked patches filled with the predicted and with the true codes.
    Texts go to the log.

    Args:
        interval: number of steps between two outputs.
        count: number of samples of each stream.
        code_batches: number of batches before each output that contribute to the mean patch of each code.
    """

    def __init__(self, interval: int = 1000, count: int = 4, code_batches: int = 20) -> None:
        self.interval, self.count, self.code_batches = interval, count, code_batches
        self._samples: dict[str, dict[str, Tensor]] = {}
        self._patches: CodePatches | None = None

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Mapping[str, Any] | None = None
    ) -> None:
        """Store samples of the first step, collect patches of codes before an output, and write the output."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        inputs = data_batch["inputs"]
        if not self._samples:
            self._samples = {
                name: {key: value[: self.count].clone() for key, value in stream.items()} for name, stream in inputs.items()
            }
            self._patches = CodePatches(model.tokenizer.num_codes)
        # Number of steps until the next output; 0 at the output itself.
        remaining = -(runner.iter + 1) % self.interval
        if remaining < self.code_batches:
            self._add_patches(runner.model, inputs)
        if remaining == 0:
            self._show(runner, self._predict(runner.model, self._samples))

    def _add_patches(self, model: Any, inputs: Mapping[str, Mapping[str, Tensor]]) -> None:
        tokenizer = (model.module if is_model_wrapper(model) else model).tokenizer
        assert self._patches is not None
        for stream in inputs.values():
            if "masked_positions" in stream:
                grid = (stream["masked_positions"].shape[1], stream["masked_positions"].shape[2])
                device = next(tokenizer.parameters()).device
                codes = codes_for_grid(tokenizer, stream["image"].to(device).float() / 255, grid)
                self._patches.add(stream["image"], codes, grid)

    def _predict(self, model: Any, samples: Mapping[str, Any]) -> dict[str, Tensor]:
        """Predict the masked parts of samples. All ranks must call this, as sharded weights have to be gathered."""
        was_training = model.training
        model.eval()
        with torch.no_grad():
            data = (model.module if is_model_wrapper(model) else model).data_preprocessor({"inputs": samples})
            results = model(**data, mode="predict")
        model.train(was_training)
        return {name: value.cpu() for name, value in results.items()}

    def _show(self, runner: Runner, predictions: Mapping[str, Tensor]) -> None:
        if not is_main_process():
            return
        tokenizer = getattr(runner.train_dataloader.dataset, "tokenizer", None)
        for name, stream in self._samples.items():
            if "masked_positions" in stream:
                assert self._patches is not None
                drawn = zip(
                    stream["image"],
                    stream["masked_positions"],
                    predictions[f"{name}.codes"],
                    predictions[f"{name}.image"],
                    strict=True,
                )
                rows = [draw_reconstruction(*sample, self._patches) for sample in drawn]
                runner.visualizer.add_image(name, side_by_side(rows), step=runner.iter + 1)
            if "words" in stream and tokenizer is not None:
                for text in zip(stream["words"], stream["masked_words"], predictions[f"{name}.text"], strict=True):
                    runner.logger.info(f"{name}: {format_reconstruction(tokenizer, *text)}")


def format_reconstruction(tokenizer: TextTokenizer, words: Tensor, masked: Tensor, predicted: Tensor) -> str:
    """Format a text with its masked words in brackets: ``two [red] stars`` if correct, ``two [blue, not red] stars`` if not.

    Args:
        tokenizer: tokenizer of the ids.
        words: true ids (T,).
        masked: boolean (T,), True = masked.
        predicted: predicted ids (T,). One that is not in the vocabulary is written as ``nothing``.
    """
    text = ""
    for word, hidden, prediction in zip(words.tolist(), masked.tolist(), predicted.tolist(), strict=True):
        if word in (tokenizer.bos_id, tokenizer.pad_id, tokenizer.eos_id):
            continue
        piece = tokenizer.piece(word)
        if hidden:
            # SentencePiece marks a space before a word by this character. The network may have more rows than there are ids.
            plain = piece.removeprefix("▁") or "▁"
            other = (tokenizer.piece(prediction).removeprefix("▁") or "▁") if prediction <= tokenizer.mask_id else "nothing"
            marked = f"[{plain}]" if prediction == word else f"[{other}, not {plain}]"
            piece = (" " if piece.startswith("▁") else "") + marked
        else:
            piece = piece.replace("▁", " ")
        text += piece
    return text.strip()
