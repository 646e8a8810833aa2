"""A small index and its files."""

import io

import yaml


def make_index(root, address):
    """Write an index whose files are at ``address(path)``; returns its folder."""
    common = {"In Collection": "c", "Config": "configs/x/own.py"}
    content = {
        "Collections": [{"Name": "c", "Metadata": {"License": "none"}}],
        "Models": [
            {"Name": "full", "Weights": address("/full.pth"), "Vision Twin": "vision", "Needs": ["words.spm"], **common},
            {"Name": "vision", "Weights": address("/vision.safetensors"), **common},
            {"Name": "own", "Needs": ["full"], **common},
        ],
        "Files": [
            {"Name": "words.spm", "In Collection": "c", "Source": address("/words.spm")},
            {"Name": "captions.json", "In Collection": "c", "Source": address("/captions.json")},
        ],
    }
    (root / "configs" / "x").mkdir(parents=True)
    (root / "configs" / "x" / "metafile.yml").write_text(yaml.safe_dump(content))
    (root / "model-index.yml").write_text("Import: [configs/x/metafile.yml]")
    return root


def spm():
    """A SentencePiece model made by the library."""
    import sentencepiece

    model = io.BytesIO()
    texts = iter(["a red square", "a blue disc left of a green square"] * 5)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=texts, model_writer=model, vocab_size=30, hard_vocab_limit=False, minloglevel=2
    )
    return model.getvalue()
