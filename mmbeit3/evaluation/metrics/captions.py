"""Scores of captions, and the file that evaluation servers take."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

from mmengine.evaluator import BaseMetric

from mmbeit3.errors import UserError
from mmbeit3.evaluation.metrics.caption_math import bleu, cider_d
from mmbeit3.evaluation.metrics.counts import report_scored
from mmbeit3.evaluation.metrics.output import prepare_output, write_output
from mmbeit3.evaluation.metrics.unreadable import report_unreadable
from mmbeit3.registry import METRICS
from mmbeit3.text.caption_words import tokenize_captions

__all__ = ["CaptionScores"]


@METRICS.register_module()
class CaptionScores(BaseMetric):
    """Scores (times 100) of ``pred_caption`` against ``gt_captions``, over all images.

    ``CIDEr`` and ``BLEU-1`` to ``BLEU-4`` by our own code, which splits captions into words as COCO's evaluation does, see
    :func:`~mmbeit3.text.caption_words.tokenize_captions`. For numbers to publish take ``backend='pycocoevalcap'``, which
    is that evaluation, adds ``METEOR``, ``ROUGE-L`` and, if wanted, ``SPICE``, and needs that package and Java. Images that
    could not be read count as described by nothing.

    Args:
        backend: ``'own'`` or ``'pycocoevalcap'``.
        spice: with that package, compute SPICE, too; it downloads Stanford CoreNLP when first used.
        submission: file to write, ``[{"image_id": ..., "caption": ...}]``, as the servers of COCO and NoCaps take it. Where no
            sample has captions by people, this is all that is done.
        collect_device: MMEngine's.
        prefix: stands before the names; default ``caption``.

    Raises:
        UserError: if the package or Java is missing, ``submission`` cannot be written, or for another ``backend``, or ``spice``
            without the package.
    """

    default_prefix = "caption"

    def __init__(
        self,
        backend: str = "own",
        spice: bool = False,
        submission: str | None = None,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if backend not in ("own", "pycocoevalcap"):
            raise UserError(f"CaptionScores: backend must be 'own' or 'pycocoevalcap', got {backend!r}")
        if spice and backend == "own":
            raise UserError("CaptionScores: spice=True needs backend='pycocoevalcap'")
        self.score: Callable[[list[str], list[list[str]]], dict[str, float]] = _score
        if backend == "pycocoevalcap":
            _check_pycocoevalcap()
            self.score = partial(_score_by_pycocoevalcap, spice=spice)
        self.submission = prepare_output(submission)

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Keep a batch's captions.

        Raises:
            UserError: if the model gives no text.
        """
        for sample in data_samples:
            if "pred_caption" not in sample:
                raise UserError("the model gives no captions: give it the text tokenizer, model=dict(tokenizer=FILE)")
            unreadable = bool(sample.get("unreadable"))
            caption = "" if unreadable else sample["pred_caption"]
            self.results.append((sample["image_id"], caption, list(sample.get("gt_captions") or ()), unreadable))

    def compute_metrics(self, results: list[tuple[Any, str, list[str], bool]]) -> dict[str, float]:
        """Write the file and score; an image that comes twice counts once."""
        images = {image_id: (caption, people, unreadable) for image_id, caption, people, unreadable in results}
        reported = report_unreadable(sum(unreadable for *_, unreadable in images.values()), len(images))
        if self.submission is not None:
            predictions = [{"image_id": image_id, "caption": caption} for image_id, (caption, *_) in images.items()]
            write_output(self.submission, predictions)
        scored = [(caption, people) for caption, people, _ in images.values() if people]
        if not scored:
            return reported
        silent = {"have no captions by people": len(images) - len(scored)}
        repeated = {"have the image_id of another": len(results) - len(images)}
        report_scored(len(scored), len(results), "images", silent | repeated)
        return self.score([caption for caption, _ in scored], [people for _, people in scored]) | reported


def _score(captions: list[str], references: list[list[str]]) -> dict[str, float]:
    candidates = tokenize_captions(captions)
    words = iter(tokenize_captions([one for ones in references for one in ones]))
    people = [[next(words) for _ in ones] for ones in references]
    scores = {f"BLEU-{order}": 100 * value for order, value in enumerate(bleu(candidates, people), start=1)}
    ciders = cider_d(candidates, people)
    return {"CIDEr": 100 * sum(ciders) / len(ciders), **scores}


def _check_pycocoevalcap() -> None:
    if find_spec("pycocoevalcap") is None:
        raise UserError("backend='pycocoevalcap' needs that package: pip install pycocoevalcap, or take backend='own'")
    if shutil.which("java") is None:
        raise UserError("backend='pycocoevalcap' needs Java, and there is no 'java' to call: install it, or take backend='own'")


def _score_by_pycocoevalcap(captions: list[str], references: list[list[str]], spice: bool) -> dict[str, float]:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.spice.spice import Spice
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    split = PTBTokenizer().tokenize
    mine = split({number: [{"caption": caption}] for number, caption in enumerate(captions)})
    people = split({number: [{"caption": one} for one in ones] for number, ones in enumerate(references)})
    orders, _ = Bleu(4).compute_score(people, mine, verbose=0)
    scores = {f"BLEU-{order}": 100 * value for order, value in enumerate(orders, start=1)}
    scorers = {"CIDEr": Cider, "METEOR": Meteor, "ROUGE-L": Rouge, **({"SPICE": Spice} if spice else {})}
    try:
        for name, scorer in scorers.items():
            scores[name] = 100 * float(scorer().compute_score(people, mine)[0])
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(f"pycocoevalcap cannot compute {name} ({error}): check Java and, for SPICE, the network") from error
    return scores
