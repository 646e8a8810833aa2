"""The official VQA score, and submission files for its evaluation server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.evaluator import BaseMetric

from mmbeit3.errors import UserError
from mmbeit3.evaluation.metrics.reporting import report_scored, report_unreadable
from mmbeit3.evaluation.metrics.submission import prepare_submission, write_submission
from mmbeit3.registry import METRICS
from mmbeit3.text.answers import normalize_answer

__all__ = ["VQAScore", "agreement"]


def agreement(answer: str, people: Sequence[str]) -> float:
    """Return the VQA score of an answer, from 0 to 1.

    This is min(matching people / 3, 1), averaged over leaving out each person once. With ten people, 1, 2, 3 and 4 matching
    answers give 0.3, 0.6, 0.9 and 1. All answers are normalised; the official evaluation does not normalise the people's
    answers if they all agree, but those of VQAv2 are already normalised.

    Args:
        answer: the predicted answer.
        people: answers by people, at least one.
    """
    normalized = normalize_answer(answer)
    same = sum(normalize_answer(person) == normalized for person in people)
    return (same * min(1.0, (same - 1) / 3) + (len(people) - same) * min(1.0, same / 3)) / len(people)


@METRICS.register_module()
class VQAScore(BaseMetric):
    """Mean agreement (in percent) of ``pred_answer`` with ``gt_answers``, by VQA's official rule.

    Args:
        submission: file to write for the EvalAI server, ``[{"question_id": ..., "answer": ...}]``. If no sample has answers, as
            in the test splits, the file is written and nothing is scored.
        collect_device: see MMEngine's ``BaseMetric``.
        prefix: prefix of the names of the scores; default ``vqa``.

    Raises:
        UserError: if ``submission`` cannot be written.
    """

    default_prefix = "vqa"

    def __init__(self, submission: str | None = None, collect_device: str = "cpu", prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.submission = prepare_submission(submission)

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Store the answers of a batch and their scores.

        Raises:
            UserError: if the samples have no ``pred_answer``, because the model has no list of answers.
        """
        for sample in data_samples:
            if "pred_answer" not in sample:
                raise UserError("the model predicts no answers: set its list of answers, model=dict(answers=FILE)")
            people = sample.get("gt_answers") or ()
            unreadable = bool(sample.get("unreadable"))
            score = None if not people else 0.0 if unreadable else agreement(sample["pred_answer"], people)
            self.results.append((int(sample["question_id"]), sample["pred_answer"], score, unreadable))

    def compute_metrics(self, results: list[tuple[int, str, float | None, bool]]) -> dict[str, float]:
        """Average over questions and write the submission file; a question that occurs twice counts once."""
        questions = {question: (answer, score, unreadable) for question, answer, score, unreadable in results}
        reported = report_unreadable(sum(unreadable for *_, unreadable in questions.values()), len(questions))
        if self.submission is not None:
            write_submission(self.submission, [{"question_id": q, "answer": answer} for q, (answer, *_) in questions.items()])
        scores = [score for _, score, _ in questions.values() if score is not None]
        if not scores:
            return reported
        unlabelled = {"have no answers by people": len(questions) - len(scores)}
        repeated = {"repeat the question_id of another": len(results) - len(questions)}
        report_scored(len(scores), len(results), "questions", unlabelled | repeated)
        return {"score": 100 * sum(scores) / len(scores)} | reported
