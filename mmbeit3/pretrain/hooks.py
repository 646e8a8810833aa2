"""What pretraining shows of itself while it runs."""

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
from mmbeit3.pretrain.pictures import CodePatches, draw_filled_in, side_by_side
from mmbeit3.registry import HOOKS
from mmbeit3.text import TextTokenizer

__all__ = ["FilledInHook", "filled_in_text"]


@HOOKS.register_module()
class FilledInHook(Hook):
    """Show how :class:`~mmbeit3.pretrain.pretrainer.BEiT3Pretrainer` fills in what is masked, always of the same samples.

    Pictures go to MMEngine's visualizer, one for each stream with images, a row for each sample: the image, what the model sees
    of it, what it fills in, and the same with the true codes. Texts go to the log.

    Args:
        interval: steps between showings.
        count: samples shown of each stream.
        learn_from: batches just before a showing from which it is learnt what codes look like.
    """

    def __init__(self, interval: int = 1000, count: int = 4, learn_from: int = 20) -> None:
        self.interval, self.count, self.learn_from = interval, count, learn_from
        self._samples: dict[str, dict[str, Tensor]] = {}
        self._patches: CodePatches | None = None

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Mapping[str, Any] | None = None
    ) -> None:
        """Keep samples of the first step; look at codes before a showing; show."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        inputs = data_batch["inputs"]
        if not self._samples:
            self._samples = {
                name: {key: value[: self.count].clone() for key, value in stream.items()} for name, stream in inputs.items()
            }
            self._patches = CodePatches(model.tokenizer.num_codes)
        left = -(runner.iter + 1) % self.interval
        if left < self.learn_from:
            self._learn(runner.model, inputs)
        if left == 0:
            self._show(runner, self._predict(runner.model, self._samples))

    def _learn(self, model: Any, inputs: Mapping[str, Mapping[str, Tensor]]) -> None:
        tokenizer = (model.module if is_model_wrapper(model) else model).tokenizer
        assert self._patches is not None
        for stream in inputs.values():
            if "image" in stream:
                grid = (stream["masked_positions"].shape[1], stream["masked_positions"].shape[2])
                device = next(tokenizer.parameters()).device
                codes = codes_for_grid(tokenizer, stream["image"].to(device).float() / 255, grid)
                self._patches.add(stream["image"], codes, grid)

    def _predict(self, model: Any, samples: Mapping[str, Any]) -> dict[str, Tensor]:
        """On all ranks, as sharded weights have to be gathered."""
        was_training = model.training
        model.eval()
        with torch.no_grad():
            data = (model.module if is_model_wrapper(model) else model).data_preprocessor({"inputs": samples})
            results = model(**data, mode="predict")
        model.train(was_training)
        return {name: value.cpu() for name, value in results.items()}

    def _show(self, runner: Runner, found: Mapping[str, Tensor]) -> None:
        if not is_main_process():
            return
        tokenizer = getattr(runner.train_dataloader.dataset, "tokenizer", None)
        for name, stream in self._samples.items():
            if "image" in stream:
                assert self._patches is not None
                drawn = zip(
                    stream["image"], stream["masked_positions"], found[f"{name}.codes"], found[f"{name}.image"], strict=True
                )
                rows = [draw_filled_in(*sample, self._patches) for sample in drawn]
                runner.visualizer.add_image(name, side_by_side(rows), step=runner.iter + 1)
            if "words" in stream and tokenizer is not None:
                for text in zip(stream["words"], stream["masked_words"], found[f"{name}.text"], strict=True):
                    runner.logger.info(f"{name}: {filled_in_text(tokenizer, *text)}")


def filled_in_text(tokenizer: TextTokenizer, words: Tensor, masked: Tensor, filled_in: Tensor) -> str:
    """A text with what was masked in brackets: ``two [red] stars`` where it is right, ``[blue, not red]`` where it is not.

    Args:
        tokenizer: names the ids.
        words: true ids (T,).
        masked: boolean (T,).
        filled_in: ids (T,).
    """
    text = ""
    for word, hidden, said in zip(words.tolist(), masked.tolist(), filled_in.tolist(), strict=True):
        if word in (tokenizer.bos_id, tokenizer.pad_id, tokenizer.eos_id):
            continue
        piece = tokenizer.piece(word)
        if hidden:
            plain = piece.removeprefix("▁") or "▁"
            other = (tokenizer.piece(said).removeprefix("▁") or "▁") if said <= tokenizer.mask_id else "nothing"
            piece = (" " if piece.startswith("▁") else "") + (f"[{plain}]" if said == word else f"[{other}, not {plain}]")
        else:
            piece = piece.replace("▁", " ")
        text += piece
    return text.strip()
