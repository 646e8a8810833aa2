"""Normalise answers as the official evaluation of VQAv2 does."""

from __future__ import annotations

import re

__all__ = ["normalize_answer"]

_CONTRACTIONS = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've he's
    how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've o'clock
    oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd
    someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've there're there's
    they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's
    where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've
    y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""
_REPAIRED = {
    word[:place] + word[place + 1 :]: word
    for word in _CONTRACTIONS.split()
    for place, letter in enumerate(word)
    if letter == "'"
}
"""Contractions that lack one apostrophe."""
_REPAIRED["somebody'd"] = "somebodyd"  # a slip of the official evaluation, kept for equal scores

_NUMBER_WORDS = "zero one two three four five six seven eight nine ten"
_NUMBERS = {"none": "0"} | {word: str(number) for number, word in enumerate(_NUMBER_WORDS.split())}
_ARTICLES = {"a", "an", "the"}
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")


def normalize_answer(answer: str) -> str:
    """Bring an answer to the form in which VQA's evaluation compares answers.

    Lower case; digits for words up to ten; no articles; apostrophes put back into contractions; no periods but before digits.
    Punctuation goes where a space is beside it anywhere in the answer, or the answer has a number with a comma; else a
    space takes its place.
    """
    answer = answer.replace("\n", " ").replace("\t", " ").strip()
    in_number = _COMMA_IN_NUMBER.search(answer) is not None
    text = answer
    for mark in _PUNCTUATION:
        spaced = f"{mark} " in answer or f" {mark}" in answer
        text = text.replace(mark, "" if spaced or in_number else " ")
    words = (_NUMBERS.get(word, word) for word in _PERIOD.sub("", text).lower().split())
    return " ".join(_REPAIRED.get(word, word) for word in words if word not in _ARTICLES)
