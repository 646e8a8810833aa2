"""Encoding, decoding, and training of vocabularies."""

import pickle
import random
import sys
import unicodedata

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbeit3.errors import UserError
from mmbeit3.text.tokenizer import TextTokenizer, train_text_tokenizer

sentencepiece = pytest.importorskip("sentencepiece")

TEXT = "a the red Blue GREEN circle square triangle lies left right of above under two three and jumps very quick box"
WORDS = TEXT.split()
PIECES = 50


def sentences(count=200):
    choose = random.Random(0)
    return [" ".join(choose.choices(WORDS, k=choose.randint(2, 9))) for _ in range(count)]


ALPHABET = "".join(sorted(set("".join(WORDS))))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return train_text_tokenizer(sentences(), tmp_path_factory.mktemp("vocabulary") / "deep" / "small.spm", PIECES)


@pytest.fixture(scope="module")
def tokenizer(path):
    return TextTokenizer(path)


def test_ids_follow_xlmr(tokenizer, path):
    assert (tokenizer.bos_id, tokenizer.pad_id, tokenizer.eos_id, tokenizer.unk_id) == (0, 1, 2, 3)
    assert (tokenizer.mask_id, tokenizer.vocab_size) == (PIECES + 1, PIECES + 2)
    plain = sentencepiece.SentencePieceProcessor(model_file=str(path))
    assert plain.get_piece_size() == PIECES
    assert [plain.id_to_piece(i) for i in range(3)] == ["<unk>", "<s>", "</s>"]
    for text in sentences(20):
        assert tokenizer.encode(text) == [piece + 1 for piece in plain.encode(text)]
    # The first piece after the special ones, and the last piece.
    assert tokenizer.decode([4]) == plain.id_to_piece(3).replace("▁", "")
    assert tokenizer.decode([PIECES]) == plain.id_to_piece(PIECES - 1).replace("▁", "")


def test_pieces_carry_word_starts_and_keep_the_case(path, tokenizer):
    plain = sentencepiece.SentencePieceProcessor(model_file=str(path))
    pieces = [plain.id_to_piece(i) for i in range(PIECES)]
    assert plain.id_to_piece(tokenizer.encode("the")[0] - 1).startswith("▁")
    assert {"B", "G"} <= set("".join(pieces))
    assert not any(plain.is_byte(i) for i in range(PIECES))
    assert tokenizer.encode("Blue") != tokenizer.encode("blue")


@settings(max_examples=100, deadline=None)
@given(
    words=st.lists(st.text(ALPHABET, min_size=1, max_size=8), max_size=8), gap=st.sampled_from([" ", "  ", "\t", "\n", " \n "])
)
def test_round_trip(tokenizer, words, gap):
    ids = tokenizer.encode(gap.join(words))
    assert all(tokenizer.unk_id < i < tokenizer.mask_id for i in ids)
    # Decoding returns any whitespace as one space.
    assert tokenizer.decode(ids) == " ".join(words)


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.characters(exclude_categories=("Cs",)), max_size=30))
def test_any_text_has_ids_of_pieces_or_unknown(tokenizer, text):
    ids = tokenizer.encode(text)
    assert all(tokenizer.unk_id <= i < tokenizer.mask_id for i in ids)
    assert set(tokenizer.decode(ids)) <= set(ALPHABET + " ")


def test_unknown_letters(tokenizer):
    ids = tokenizer.encode("the ☃ box")
    assert ids.count(tokenizer.unk_id) == 1
    assert tokenizer.decode(ids).split() == ["the", "box"]


def test_names_of_special_tokens_are_text(tokenizer):
    assert not {tokenizer.bos_id, tokenizer.pad_id, tokenizer.eos_id} & set(tokenizer.encode("<s> a <pad> </s> <mask>"))
    assert tokenizer.mask_id not in tokenizer.encode("<mask>")


def test_decoding_skips_what_is_no_piece(tokenizer):
    ids = tokenizer.encode("the red box")
    assert tokenizer.decode([0, *ids, 3, tokenizer.mask_id, 2, 1, 1, 64009]) == "the red box"
    assert tokenizer.decode(torch.tensor(ids)) == "the red box"
    assert tokenizer.decode([]) == ""
    with pytest.raises(ValueError, match="-100"):
        tokenizer.decode([5, -100])


def test_batch(tokenizer):
    texts = ["the red box", "a", "the very quick Blue triangle jumps above the GREEN circle and under the square"]
    tokens, padding_mask = tokenizer.batch(texts, 10)
    assert tokens.shape == padding_mask.shape == (3, 10)
    assert (tokens.dtype, padding_mask.dtype) == (torch.int64, torch.bool)
    for row, mask, text in zip(tokens, padding_mask, texts, strict=True):
        ids = [0, *tokenizer.encode(text)[:8], 2]
        assert row[~mask].tolist() == ids
        assert mask.tolist() == [False] * len(ids) + [True] * (10 - len(ids))
        assert (row[mask] == tokenizer.pad_id).all()
    assert tokens[2, -1] == tokenizer.eos_id


def test_batch_is_as_long_as_its_longest_text(tokenizer):
    texts = ["the red box", "a"]
    longest = len(tokenizer.encode(texts[0])) + 2
    tokens, padding_mask = tokenizer.batch(texts, 64)
    assert tokens.shape == (2, longest)
    padded, padded_mask = tokenizer.batch(texts, 64, pad_to_max=True)
    assert padded.shape == padded_mask.shape == (2, 64)
    assert torch.equal(padded[:, :longest], tokens)
    assert torch.equal(padded_mask[:, :longest], padding_mask)
    assert padded_mask[:, longest:].all()
    assert (padded[:, longest:] == tokenizer.pad_id).all()


@pytest.mark.parametrize("empty", ["", "  \n"])
def test_an_empty_text_is_named(tokenizer, empty):
    with pytest.raises(UserError, match="text 1 of the batch is empty"):
        tokenizer.batch(["a", empty], 8)


@pytest.mark.parametrize(("texts", "max_length"), [([], 8), (["a"], 2)])
def test_impossible_batches(tokenizer, texts, max_length):
    with pytest.raises(ValueError, match="cannot batch"):
        tokenizer.batch(texts, max_length)


def test_lone_surrogates(tokenizer):
    with pytest.raises(UnicodeEncodeError):
        tokenizer.encode("a \ud800")


def test_pickled_without_its_file(tmp_path):
    path = train_text_tokenizer(sentences(), tmp_path / "gone.spm", PIECES)
    tokenizer = TextTokenizer(path)
    path.unlink()
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert copy.vocab_size == tokenizer.vocab_size
    assert [copy.encode(text) for text in WORDS] == [tokenizer.encode(text) for text in WORDS]


def test_unreadable_files(tmp_path, path):
    with pytest.raises(UserError, match=r"none\.spm' cannot be read"):
        TextTokenizer(tmp_path / "none.spm")
    with pytest.raises(UserError, match="cannot be read"):
        TextTokenizer(tmp_path)
    broken = tmp_path / "broken.spm"
    for content in (b"", b"no model", path.read_bytes()[:-20]):
        broken.write_bytes(content)
        with pytest.raises(UserError, match=r"broken\.spm' is not a SentencePiece model"):
            TextTokenizer(broken)


def test_other_numbering(tmp_path):
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences()),
        model_prefix=str(tmp_path / "t5"),
        vocab_size=PIECES,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    with pytest.raises(UserError, match="has ids 2, -1, 1 for <unk>, <s>, </s>, not 0, 1, 2"):
        TextTokenizer(tmp_path / "t5.model")


def test_training_is_deterministic_and_leaves_one_file(tmp_path):
    paths = [train_text_tokenizer(iter(sentences()), tmp_path / name, PIECES) for name in ("a.spm", "b.spm")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(tmp_path.iterdir()) == paths


def test_the_first_texts_are_taken_of_many(tmp_path):
    texts = [*sentences(), *(["unseen words"] * 200)]
    part = TextTokenizer(train_text_tokenizer(texts, tmp_path / "part.spm", PIECES, input_sentence_size=200))
    same = TextTokenizer(train_text_tokenizer(sentences(), tmp_path / "same.spm", PIECES))
    assert [part.decode([i]) for i in range(4, PIECES + 1)] == [same.decode([i]) for i in range(4, PIECES + 1)]


def test_training_takes_options(tmp_path):
    path = train_text_tokenizer(sentences(), tmp_path / "a.spm", PIECES, user_defined_symbols=["[box]"])
    tokenizer = TextTokenizer(path)
    assert len(tokenizer.encode("a[box]")) == 2
    with pytest.raises(ValueError, match="sets unk_id itself"):
        train_text_tokenizer(sentences(), path, PIECES, unk_id=5)
    with pytest.raises(UserError, match=r"reports an error: .*nonsense"):
        train_text_tokenizer(sentences(), path, PIECES, nonsense=1)


def test_too_little_text_tells_what_is_possible(tmp_path):
    out = tmp_path / "a.spm"
    with pytest.raises(UserError, match="at most") as caught:
        train_text_tokenizer(sentences(), out)
    assert "\n" not in str(caught.value)
    most = int(str(caught.value).split("at most ")[1].split()[0])
    assert TextTokenizer(train_text_tokenizer(sentences(), out, most)).mask_id == most + 1


def test_too_small_a_vocabulary(tmp_path):
    with pytest.raises(UserError, match="characters of the texts alone need") as caught:
        train_text_tokenizer(sentences(), tmp_path / "a.spm", 5)
    assert int(str(caught.value).split("need ")[1].split()[0]) == len(ALPHABET) + 4  # special pieces and the word start


@pytest.mark.parametrize("texts", [[], ["", " "], ["a" * 70000]])
def test_no_text(tmp_path, texts):
    with pytest.raises(UserError, match=r"a\.spm': no text to train on"):
        train_text_tokenizer(texts, tmp_path / "a.spm", PIECES)
    assert not list(tmp_path.iterdir())


def test_failing_texts_leave_the_old_vocabulary(tmp_path):
    def failing():
        yield "the red box"
        raise KeyError("caption")

    out = tmp_path / "a.spm"
    out.write_bytes(b"old")
    with pytest.raises(KeyError, match="caption"):
        train_text_tokenizer(failing(), out, PIECES)
    with pytest.raises(UserError, match="text 1 for the vocabulary is not valid Unicode"):
        train_text_tokenizer(["a", "\ud800"], out, PIECES)
    assert out.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [out]


def test_without_the_library(monkeypatch, path, tmp_path):
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(ImportError, match=r"pip install 'mmbeit3\[pretrain\]'"):
        TextTokenizer(path)
    with pytest.raises(ImportError, match=r"pip install 'mmbeit3\[pretrain\]'"):
        train_text_tokenizer(["a"], tmp_path / "a.spm")


def test_text_is_normalised(tokenizer):
    for text in ("\uff42\uff4f\uff58", "the\u00a0box"):
        assert tokenizer.encode(text) == tokenizer.encode(unicodedata.normalize("NFKC", text))
