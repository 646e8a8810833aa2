"""Normalisation of answers as in the official VQAv2 evaluation.

Source of the rules and the word lists: https://github.com/GT-Vision-Lab/VQA, PythonEvaluationTools.
"""

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
_WITH_APOSTROPHE = {
    word[:index] + word[index + 1 :]: word
    for word in _CONTRACTIONS.split()
    for index, letter in enumerate(word)
    if letter == "'"
}
"""Contractions by their spelling without one of their apostrophes."""
_WITH_APOSTROPHE["somebody'd"] = "somebodyd"  # an error of the official evaluation, kept for equal scores

_NUMBER_WORDS = "zero one two three four five six seven eight nine ten"
_NUMBERS = {"none": "0"} | {word: str(number) for number, word in enumerate(_NUMBER_WORDS.split())}
_ARTICLES = {"a", "an", "the"}
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")


def normalize_answer(answer: str) -> str:
    """Convert an answer to the form in which the VQA evaluation compares answers.

    The result is in lower case. Number words up to ten become digits, articles are removed, contractions get their apostrophe,
    and periods are removed except before digits. A punctuation mark is removed if it stands next to a space anywhere in the
    answer, or if the answer has a number with a comma; otherwise it becomes a space.
    """
    answer = answer.replace("\n", " ").replace("\t", " ").strip()
    in_number = _COMMA_IN_NUMBER.search(answer) is not None
    text = answer
    for mark in _PUNCTUATION:
        spaced = f"{mark} " in answer or f" {mark}" in answer
        text = text.replace(mark, "" if spaced or in_number else " ")
    words = (_NUMBERS.get(word, word) for word in _PERIOD.sub("", text).lower().split())
    return " ".join(_WITH_APOSTROPHE.get(word, word) for word in words if word not in _ARTICLES)
