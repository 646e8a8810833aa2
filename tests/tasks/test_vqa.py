"""VQA: outputs of the reference, the loss against a plain computation, and lists of answers."""

import pytest
import torch

from mmbeit3.checkpoint import LAYOUTS, load_checkpoint
from mmbeit3.errors import UserError
from mmbeit3.tasks.vqa import BEiT3VQA, VQANetwork
from tests.tasks.reference import SMALL, TOLERANCE, inputs, official_file, reference


@pytest.fixture(scope="module")
def expected():
    return reference("vqa")


def test_reference_model(expected, tmp_path):
    network = VQANetwork(expected["arch"], num_answers=expected["meta"]["answers"]).eval()
    report = load_checkpoint(network, official_file(expected["weights"], tmp_path))
    assert report.layout == "official"
    assert report.missing == report.unused == []
    with torch.no_grad():
        logits = network.logits(expected["image"], expected["tokens"], expected["padding"])
    torch.testing.assert_close(logits, expected["vqa/logits"], **TOLERANCE)
    written = LAYOUTS["official"].to_theirs(network.state_dict())
    assert written.keys() == expected["weights"].keys()
    assert all(torch.equal(written[name], tensor) for name, tensor in expected["weights"].items())


@pytest.mark.parametrize(("arch", "size", "millions"), [("base", 480, 228.11), ("large", 480, 682.99), ("large", 768, 684.42)])
def test_parameter_counts(arch, size, millions):
    with torch.device("meta"):
        total = sum(p.numel() for p in VQANetwork(arch, image_size=size).parameters())
    assert round(total / 1e6, 2) == millions


def test_loss_is_summed_over_answers_and_averaged_over_questions():
    model = BEiT3VQA({"arch": SMALL}, num_answers=7).eval()
    batch = inputs(3)
    # No answer to the last question is in the list.
    given = [([2, 5], [1.0, 0.3]), ([0], [0.6]), ([], [])]
    samples = [{"labels": torch.tensor(ls, dtype=torch.int64), "scores": torch.tensor(ss)} for ls, ss in given]
    with torch.no_grad():
        found, probabilities = model(batch, samples, mode="loss"), model(batch).sigmoid()
    total, score = 0.0, 0.0
    for row, (labels, scores) in zip(probabilities, given, strict=True):
        targets = dict(zip(labels, scores, strict=True))
        for answer, p in enumerate(row.tolist()):
            t = targets.get(answer, 0.0)
            total -= t * torch.tensor(p).log().item() + (1 - t) * torch.tensor(1 - p).log().item()
        score += targets.get(int(row.argmax()), 0.0)
    assert found["loss_vqa"].item() == pytest.approx(total / 3, rel=1e-4)
    assert found["score"].item() == pytest.approx(score / 3)


def test_predictions_have_names_where_answers_are_known(tmp_path):
    answers = [f"answer {i}" for i in range(5)]
    model = BEiT3VQA({"arch": SMALL}, answers=answers).eval()
    batch = inputs(4)
    samples = [{"question_id": i} for i in range(4)]
    for i, sample in enumerate(model(batch, samples, mode="predict")):
        assert sample["question_id"] == i
        assert sample["pred_label"].tolist() == [model(batch)[i].argmax().item()]
        assert sample["pred_answer"] == answers[sample["pred_label"]]
        torch.testing.assert_close(sample["pred_score"], model(batch)[i].sigmoid().detach())
    assert "pred_answer" not in samples[0]
    unnamed = BEiT3VQA({"arch": SMALL}, num_answers=5)(batch, samples, mode="predict")
    assert "pred_answer" not in unnamed[0]
    assert BEiT3VQA({"arch": SMALL}).num_answers == 3129


def test_answers_that_do_not_fit(tmp_path):
    path = tmp_path / "answers.txt"
    path.write_text("yes\nno\n")
    with pytest.raises(UserError, match=r"answers '.*answers.txt' has 2 entries, but num_answers is 3129: "):
        BEiT3VQA({"arch": SMALL}, answers=path, num_answers=3129)
    with pytest.raises(UserError, match=r"^answers has 1 entries, but"):
        BEiT3VQA({"arch": SMALL}, answers=["yes"], num_answers=2)


def test_checkpoint_with_other_answers(tmp_path):
    network = VQANetwork(SMALL, num_answers=5)
    checkpoint = official_file(LAYOUTS["official"].to_theirs(network.state_dict()), tmp_path)
    model = BEiT3VQA({"arch": SMALL}, answers=["yes", "no"], init_cfg={"type": "Pretrained", "checkpoint": str(checkpoint)})
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(UserError) as caught:
        model.init_weights()
    assert str(caught.value) == (
        f"checkpoint '{checkpoint}' has another head: head.3.weight has 5 rows in the file and 2 in the model. Build the model "
        "for the file's classes or answers, or set new_head=True in its init_cfg to train a new head"
    )
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        ({"labels": torch.tensor([5]), "scores": torch.tensor([1.0])}, "labels are from 5 to 5, but the model has 5 answers"),
        ({"labels": torch.tensor([-1]), "scores": torch.tensor([1.0])}, "labels are from -1 to -1"),
        ({"question_id": 3}, "no labels and scores"),
    ],
)
def test_samples_without_usable_targets(sample, reason):
    with pytest.raises(UserError, match=reason):
        BEiT3VQA({"arch": SMALL}, num_answers=5)(inputs(1), [sample], mode="loss")


def test_padding_changes_nothing():
    model = BEiT3VQA({"arch": SMALL}, num_answers=5).eval()
    batch = inputs(3)
    longer = {
        "image": batch["image"],
        "tokens": torch.cat([batch["tokens"], torch.full((3, 2), 1)], dim=1),
        "padding_mask": torch.cat([batch["padding_mask"], torch.ones(3, 2, dtype=torch.bool)], dim=1),
    }
    torch.testing.assert_close(model(batch), model(longer), atol=1e-5, rtol=0)


def test_heads_start_as_their_network_does():
    for init, pooler, head in (("beit", 0.0108, 0.0108), ("magneto", 192**-0.5, (2 / 576) ** 0.5)):
        network = VQANetwork("tiny", num_answers=4, vocab_size=300, init=init)
        assert network.pooler.dense.weight.std().item() == pytest.approx(pooler, rel=0.05)
        assert network.head[0].weight.std().item() == pytest.approx(head, rel=0.05)
