"""The caption inferencer: several captions, and a minimal length."""

import json

import pytest

from mmbeit3.errors import UserError


def test_several_captions_of_a_least_length(build, images):
    inferencer = build("captioning")
    free = inferencer(images[:3])["predictions"]
    found = inferencer(images[:3], batch_size=2, return_vis=True, min_length=4, num_captions=3)
    for one, alone in zip(found["predictions"], free, strict=True):
        assert list(alone) == ["image", "pred_caption", "pred_tokens"]
        scores = [each["score"] for each in one["pred_captions"]]
        assert len(scores) == 3
        assert scores == sorted(scores, reverse=True)
        assert all(len(each["tokens"]) >= 6 for each in one["pred_captions"])
        assert one["pred_captions"][0]["tokens"] == one["pred_tokens"]
        assert one["pred_captions"][0]["caption"] == one["pred_caption"]
        assert inferencer.lines(one) == [each["caption"] for each in one["pred_captions"]]
    assert json.loads(json.dumps(found["predictions"])) == found["predictions"]
    assert inferencer(images[:3])["predictions"] == free
    with pytest.raises(UserError, match=r"num_captions must be a whole number from 1 to 3 \(num_beams is 3\), got 4"):
        inferencer(images[0], num_captions=4)
    with pytest.raises(UserError, match="min_length must be a whole number from 0 to 5 with max_length 8, got 6"):
        inferencer(images[0], min_length=6)
