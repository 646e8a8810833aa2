"""Scores of captions, and submission files for evaluation servers."""

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
from mmbeit3.evaluation.metrics.reporting import report_scored, report_unreadable
from mmbeit3.evaluation.metrics.submission import prepare_submission, write_submission
from mmbeit3.registry import METRICS
from mmbeit3.text.caption_words import tokenize_captions

__all__ = ["CaptionScores"]


@METRICS.register_module()
class CaptionScores(BaseMetric):
    """Scores (times 100) of ``pred_caption`` against ``gt_captions``, over all images.

    The backend ``'own'`` computes ``CIDEr`` and ``BLEU-1`` to ``BLEU-4`` in Python. It splits captions into words as COCO's
    evaluation does, see :func:`~mmbeit3.text.caption_words.tokenize_captions`. For numbers to publish, use
    ``backend='pycocoevalcap'``: it is COCO's evaluation, also gives ``METEOR``, ``ROUGE-L`` and optionally ``SPICE``, and needs
    the package pycocoevalcap and Java. Images that could not be read are scored with an empty caption.

    Args:
        backend: ``'own'`` or ``'pycocoevalcap'``.
        spice: also compute SPICE; only with ``'pycocoevalcap'``, which downloads Stanford CoreNLP on first use.
        submission: file to write, ``[{"image_id": ..., "caption": ...}]``, the format of the COCO and NoCaps servers. If no
            sample has reference captions, the file is written and nothing is scored.
        collect_device: see MMEngine's ``BaseMetric``.
        prefix: prefix of the names of the scores; default ``caption``.

    Raises:
        UserError: if ``backend`` is unknown, ``spice`` is used with ``'own'``, pycocoevalcap or Java is missing, or
            ``submission`` cannot be written.
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
        self.submission = prepare_submission(submission)

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Store the captions of a batch.

        Raises:
            UserError: if the samples have no ``pred_caption``.
        """
        for sample in data_samples:
            if "pred_caption" not in sample:
                raise UserError("the model predicts no captions: set its text tokenizer, model=dict(tokenizer=FILE)")
            unreadable = bool(sample.get("unreadable"))
            caption = "" if unreadable else sample["pred_caption"]
            self.results.append((sample["image_id"], caption, list(sample.get("gt_captions") or ()), unreadable))

    def compute_metrics(self, results: list[tuple[Any, str, list[str], bool]]) -> dict[str, float]:
        """Write the submission file and compute the scores; an image that occurs twice counts once."""
        images = {image_id: (caption, references, unreadable) for image_id, caption, references, unreadable in results}
        reported = report_unreadable(sum(unreadable for *_, unreadable in images.values()), len(images))
        if self.submission is not None:
            predictions = [{"image_id": image_id, "caption": caption} for image_id, (caption, *_) in images.items()]
            write_submission(self.submission, predictions)
        scored = [(caption, references) for caption, references, _ in images.values() if references]
        if not scored:
            return reported
        unlabelled = {"have no reference captions": len(images) - len(scored)}
        repeated = {"repeat the image_id of another": len(results) - len(images)}
        report_scored(len(scored), len(results), "images", unlabelled | repeated)
        return self.score([caption for caption, _ in scored], [references for _, references in scored]) | reported


def _score(captions: list[str], references: list[list[str]]) -> dict[str, float]:
    candidates = tokenize_captions(captions)
    # One call for all references, then the tokens are grouped by image again.
    tokens = iter(tokenize_captions([caption for group in references for caption in group]))
    tokenized = [[next(tokens) for _ in group] for group in references]
    scores = {f"BLEU-{order}": 100 * value for order, value in enumerate(bleu(candidates, tokenized), start=1)}
    ciders = cider_d(candidates, tokenized)
    return {"CIDEr": 100 * sum(ciders) / len(ciders), **scores}


def _check_pycocoevalcap() -> None:
    if find_spec("pycocoevalcap") is None:
        raise UserError("backend='pycocoevalcap' needs that package: pip install pycocoevalcap, or use backend='own'")
    if shutil.which("java") is None:
        raise UserError("backend='pycocoevalcap' needs Java, but 'java' is not on PATH: install it, or use backend='own'")


def _score_by_pycocoevalcap(captions: list[str], references: list[list[str]], spice: bool) -> dict[str, float]:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.spice.spice import Spice
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    tokenize = PTBTokenizer().tokenize
    candidates = tokenize({index: [{"caption": caption}] for index, caption in enumerate(captions)})
    tokenized = tokenize({index: [{"caption": caption} for caption in group] for index, group in enumerate(references)})
    orders, _ = Bleu(4).compute_score(tokenized, candidates, verbose=0)
    scores = {f"BLEU-{order}": 100 * value for order, value in enumerate(orders, start=1)}
    scorers = {"CIDEr": Cider, "METEOR": Meteor, "ROUGE-L": Rouge, **({"SPICE": Spice} if spice else {})}
    try:
        for name, scorer in scorers.items():
            scores[name] = 100 * float(scorer().compute_score(tokenized, candidates)[0])
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(f"pycocoevalcap failed to compute {name} ({error}): check Java and, for SPICE, the network") from error
    return scores
