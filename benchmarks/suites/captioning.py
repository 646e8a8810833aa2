"""Caption several images by beam search: in a batch or one by one, with or without a KV cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.cases import OURS, Case, Contender, Step
from benchmarks.networks import Network, forward_step, randomise
from benchmarks.settings import Settings
from mmbeit3.tasks.captioning import CaptioningNetwork, NextCaptionWords
from mmbeit3.tasks.decoding import BeamSearchOptions, NextWords, beam_search

__all__ = ["WholeTexts", "caption_cases"]

_BEAMS = 3
_WORDS = 20
_EOS_ID = 2
_NextWordsOf = Callable[[CaptioningNetwork, Tensor, int, int, int], NextWords]


class WholeTexts:
    """Next words without a cache: image and text are encoded again for each word; arguments as in ``NextCaptionWords``."""

    def __init__(self, network: CaptioningNetwork, image: Tensor, mask_id: int, num_beams: int, max_length: int) -> None:
        self.network = network
        self.image = image
        self.mask_id = mask_id
        self.texts = torch.zeros(len(image), num_beams, 0, dtype=torch.long, device=image.device)

    def step(self, words: Tensor, beams: Tensor | None = None) -> Tensor:
        """Return the logits (B, K, V) of the words after ``words`` (B, K); ``beams`` (B, K) are the beams that continue."""
        if beams is not None:
            self.texts = self.texts.gather(1, beams.unsqueeze(-1).expand_as(self.texts))
        self.texts = torch.cat([self.texts, words.unsqueeze(-1)], dim=2)
        tokens = F.pad(self.texts, (0, 1), value=self.mask_id).flatten(0, 1)
        states = self.network(self.image.repeat_interleave(words.shape[1], dim=0), tokens, causal_text=True).language
        return self.network.mlm_head(states[:, -1]).unflatten(0, words.shape)

    def keep(self, images: Tensor) -> None:
        """Continue with only these images (B',)."""
        self.image, self.texts = self.image[images], self.texts[images]


def caption_cases(settings: Settings) -> Iterator[Case]:
    """Yield beam search at each side, encoding of the image included; all captions have the same length."""
    for dtype in settings.dtypes:
        for side in settings.sides:
            yield _case(settings, side, dtype)


def _case(settings: Settings, side: int, dtype: str) -> Case:
    words = min(_WORDS, settings.text_tokens)

    @cache
    def network() -> CaptioningNetwork:
        torch.manual_seed(0)
        module = CaptioningNetwork(asdict(settings.sizes), image_size=side)
        randomise(module)
        with torch.no_grad():
            # No caption may end early, so that all contenders compute the same number of words.
            module.mlm_head.bias[_EOS_ID] = -1e4
        return module

    def contender(next_words: _NextWordsOf, at_once: int, _: bool) -> Step:
        module: Any = network()
        forward = partial(_captions, module, next_words, words, at_once)
        generator = torch.Generator().manual_seed(1)
        image = torch.randn(settings.batch, 3, side, side, generator=generator).to(settings.device)
        return forward_step(Network(module, forward, module.vision.embed.proj.weight), {"image": image}, settings, dtype)

    ways: dict[str, tuple[_NextWordsOf, int]] = {
        OURS: (NextCaptionWords, settings.batch),
        f"{OURS}, image by image": (NextCaptionWords, 1),
        f"{OURS}, without a cache": (WholeTexts, settings.batch),
        f"{OURS}, image by image without a cache": (WholeTexts, 1),
    }
    contenders = [Contender(name, partial(contender, *way)) for name, way in ways.items()]
    name = f"captions {settings.arch} {side}², {settings.batch} images, {words} words, {_BEAMS} beams"
    return Case(name, dtype, contenders, images=settings.batch)


def _captions(network: CaptioningNetwork, next_words: _NextWordsOf, words: int, at_once: int, image: Tensor) -> list[Tensor]:
    """Return the token ids of captions (B, words + 2); all contenders agree on them, unless two beams have equal scores."""
    max_length, mask_id = words + 3, network.arch.vocab_size - 1
    captions = []
    for part in image.split(at_once):
        start = torch.zeros(len(part), dtype=torch.long, device=part.device)
        decoder = next_words(network, part, mask_id, _BEAMS, max_length)
        captions += beam_search(decoder, start, BeamSearchOptions(_BEAMS, max_length, eos_id=_EOS_ID))
    return [torch.tensor(captions)]
