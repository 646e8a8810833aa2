"""VQA's official score, and the file that its server takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.evaluator import BaseMetric

from mmbeit3.errors import UserError
from mmbeit3.evaluation.metrics.counts import report_scored
from mmbeit3.evaluation.metrics.output import prepare_output, write_output
from mmbeit3.evaluation.metrics.unreadable import report_unreadable
from mmbeit3.registry import METRICS
from mmbeit3.text.answers import normalize_answer

__all__ = ["VQAScore", "agreement"]


def agreement(answer: str, people: Sequence[str]) -> float:
    """How right an answer is, from 0 to 1: the share of three that give it, averaged over leaving out each person.

    So 1, 2, 3 and 4 of ten people make 0.3, 0.6, 0.9 and 1. Both sides are normalised always; the official evaluation leaves
    people's answers as they are where all agree, and VQAv2's come normalised.

    Args:
        answer: the answer.
        people: what people answered, at least one.
    """
    wanted = normalize_answer(answer)
    same = sum(normalize_answer(one) == wanted for one in people)
    return (same * min(1.0, (same - 1) / 3) + (len(people) - same) * min(1.0, same / 3)) / len(people)


@METRICS.register_module()
class VQAScore(BaseMetric):
    """Mean agreement (in percent) of ``pred_answer`` with ``gt_answers``, by VQA's official rule.

    Args:
        submission: file to write for the EvalAI server, ``[{"question_id": ..., "answer": ...}]``. Where no sample has answers,
            as in the test splits, this is all that is done.
        collect_device: MMEngine's.
        prefix: stands before the names; default ``vqa``.

    Raises:
        UserError: if ``submission`` cannot be written.
    """

    default_prefix = "vqa"

    def __init__(self, submission: str | None = None, collect_device: str = "cpu", prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.submission = prepare_output(submission)

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Keep a batch's answers and their scores.

        Raises:
            UserError: if the model does not know its answers.
        """
        for sample in data_samples:
            if "pred_answer" not in sample:
                raise UserError("the model names no answers: give it the list, model=dict(answers=FILE)")
            people = sample.get("gt_answers") or ()
            unreadable = bool(sample.get("unreadable"))
            score = None if not people else 0.0 if unreadable else agreement(sample["pred_answer"], people)
            self.results.append((int(sample["question_id"]), sample["pred_answer"], score, unreadable))

    def compute_metrics(self, results: list[tuple[int, str, float | None, bool]]) -> dict[str, float]:
        """Average over questions and write the file; a question that comes twice counts once."""
        questions = {question: (answer, score, unreadable) for question, answer, score, unreadable in results}
        reported = report_unreadable(sum(unreadable for *_, unreadable in questions.values()), len(questions))
        if self.submission is not None:
            write_output(self.submission, [{"question_id": q, "answer": answer} for q, (answer, *_) in questions.items()])
        scores = [score for _, score, _ in questions.values() if score is not None]
        if not scores:
            return reported
        silent = {"have no answers by people": len(questions) - len(scores)}
        repeated = {"have the question_id of another": len(results) - len(questions)}
        report_scored(len(scores), len(results), "questions", silent | repeated)
        return {"score": 100 * sum(scores) / len(scores)} | reported
