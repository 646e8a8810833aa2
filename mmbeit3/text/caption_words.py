"""Captions split into words as COCO's evaluation splits them.

That evaluation runs the Penn Treebank tokenizer of Stanford CoreNLP 3.4.1 over all captions, one a line, writes what it finds
in lower case and drops punctuation. Here are its rules, written anew, as far as English text needs them: of those that match at
a place the longest counts, with what it must see behind the word, and of equally long ones the first. On 60,000 lines of
English prose and 220,000 made ones full of abbreviations, numbers, quotes and signs all came out as from the original. Left
out are some special words of financial news (``S&P-500``) and of markup, and soft hyphens at a word's edge; outside of English
letters, digits and signs the two may differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

__all__ = ["tokenize_caption", "tokenize_captions"]

# Abbreviations keep their full stop. These end a word wherever they stand,
_ABBREVIATIONS = """
    al ala apr ariz assn aug bancorp bhd bldg blvd bros calif co colo conn corp cos ct dak dec esq est etc ext feb fla fri
    ga inc ind intl jan jr jul jun kan kans ky ltd mar md mich minn mo mon mont neb nev nov oct okla penn plc ppte ppty pte
    ptes pty ptys rd rt sep sept seq sq sr sys tel tenn thu thurs tue tues univ va vt wed wis wisc wyo
"""
# these only before something else than a letter,
_TITLES = """
    adj adm adv alex assoc asst atty attys ave brig capt cf cie cmdr col comdr cpl dept det dr drs elec ens ft gen gov govs
    hon insp invt jos lieut lt maj messrs mfg mlle mme mr mrs ms msgr mt mtg natl pfc ph pres prof profs pvt rep reps rev
    sen sens sfc sgt spc st ste supt supts treas vs wm
"""
# these, which are words as well, with a capital,
_CAPITALISED = "Ark Az Del Ill La Mass Miss Ore Pa Tex Wash"
# and these before a number.
_BEFORE_NUMBERS = "art ca fig figs no nos op pp prop"
# Words that begin a sentence: before one of them the full stop of a single letter ends another.
_OPENERS = """
    A About According Additionally After An As At But Earlier He Her Here However If In It Last Many More Mr. Ms. Now Once
    One Other Our She Since So Some Such That The Then There These They This We What When While Yet You
"""
_FILE_ENDINGS = """
    bat bmp c cgi class cpp dll doc docx exe gif gz h htm html jar java jpeg jpg mov mp3 pdf php pl png ppt ps py sql tar
    txt wav x xml zip
"""
_SIGNS = {
    **{"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"},
    **{"\u00bd": "1/2", "\u00bc": "1/4", "\u00be": "3/4", "\u2153": "1/3", "\u2154": "2/3"},
    **{"\u00a2": "cents", "\u00a3": "#", "\u00a4": "$", "\u20a0": "$", "\u20ac": "$"},
    **{"&amp;": "&", "&quot;": "''", "&lt;": "<", "&gt;": ">", "&mdash;": "--", "&ndash;": "--"},
}
_QUOTES = {
    **dict.fromkeys("\u2018\u201b\u2039", "`"),
    **dict.fromkeys("\u2019\u203a", "'"),
    **dict.fromkeys("\u201c\u00ab", "``"),
    **dict.fromkeys('\u201d\u00bb"', "''"),
}
_DROPPED = {"''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"}
"""The original means to drop brackets as well, but looks for the names that they have before lower case."""

_BREAK = r"[ \t\n\u00a0\u2000-\u200a\u3000]"
_PAUSE = r"[,;:\u3001]"
_NUMERALS = r"\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u2089\u2153-\u215e"
_LETTER = rf"(?:[^\W\d_{_NUMERALS}]|[\u00ad\u0300-\u036f])"
_ALNUM = rf"[^\W_{_NUMERALS}]"
_APOSTROPHE = r"['\u2019]"
_ANY_APOSTROPHE = r"['`\u2018\u2019\u201b]"
_CLITIC = rf"{_APOSTROPHE}(?i:re|ve|ll|[msd])"
_WORD = rf"{_LETTER}(?:{_LETTER}|\d)*(?:[.!?]{_LETTER}(?:{_LETTER}|\d)*)*"
_ACRONYM = r"[A-Za-z](?:\.[A-Za-z])+"
_PART = rf"(?:[dDoOlL]{_ANY_APOSTROPHE}{_ALNUM})?{_ALNUM}+"
_COMPOUND = rf"{_PART}(?:[-_\u058a\u2010\u2011]{_PART})*"
_HYPHENATED = rf"[A-Za-z0-9][A-Za-z0-9.,\u00ad]*(?:-(?:{_ACRONYM}\.|[A-Za-z0-9\u00ad]+))+"
_COMPANY = r"[A-Z]+(?:[+&][A-Z]+)+"
_SLASHED = r"[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}"
_PATH = r'(?:/[^\s"<>|()]+[^\s"<>|.!?(){},-])?'
_ATTRIBUTE = r"""[A-Za-z][\w:.-]*(?: *= *(?:'[^'\n]*'|"[^"\n]*"))?"""


def _any(words: str, capital: bool = False) -> str:
    """A pattern of one of some words, in any case, or with a capital and the rest in any case."""
    longest_first = sorted(words.split(), key=len, reverse=True)
    if capital:
        return "(?:" + "|".join(f"{word[0]}(?i:{re.escape(word[1:])})" for word in longest_first) + ")"
    return "(?i:" + "|".join(map(re.escape, longest_first)) + ")"


_FIRM = rf"(?:{_any(_ABBREVIATIONS)}|{_any(_CAPITALISED, capital=True)}|(?i:ed|ph)\.[Dd])\."


def _plain(token: str) -> str:
    return token.replace("\u00ad", "")


def _quoted(token: str) -> str:
    return "".join(_QUOTES.get(sign, sign) for sign in token)


def _sign(token: str) -> str:
    return _SIGNS.get(token, token)


def _parentheses(token: str) -> str:
    return token.replace("(", "-lrb-").replace(")", "-rrb-")


def _initial(token: str) -> str:
    return token[0] if len(token) == 2 else token


def _dashes(token: str) -> str:
    return token if len(token) > 4 else "--"


def _dots(token: str) -> str:
    return "..."


# Of each rule: the word, what must stand behind it, and how it is written.
_RULES: list[tuple[str, str, Callable[[str], str]]] = [
    # Two words in one.
    (r"(?i:can(?=not)|'t(?=is|was)|(?:gon|wan)(?=na)|got(?=ta)|(?:lem|gim)(?=me))", "(?i:not|is|was|[nt]a|me)", _plain),
    # Markup.
    (rf"<[A-Za-z][\w:.-]*(?: +{_ATTRIBUTE})* */?>|</[A-Za-z][\w:.-]* *>|<[!?][A-Za-z-][^>\n]*>", "", _plain),
    (r"&(?:amp|quot|lt|gt|mdash|ndash|#\d+);", "", _sign),
    # Words, and those that a clitic is taken from.
    (_WORD, _CLITIC, _plain),
    (r"[A-Za-z\u00ad]*[A-MO-Za-mo-z]\u00ad*", f"(?i:n{_ANY_APOSTROPHE}t)", _plain),
    (_WORD, "", _plain),
    # Words that keep their apostrophe.
    (rf"(?i:{_APOSTROPHE}(?:n{_APOSTROPHE}?|em|till?|cause|[2-9]0s)|(?:[ldj]|dunkin|somethin|ol){_APOSTROPHE})", "", _plain),
    (r"(?i:cont'd\.?|nor'easter|c'mon|c'est|e'er|s'mores|ev'ry|li'l|nat'l|cap'n)", "", _plain),
    (rf"[A-HJ-XZn]{_ANY_APOSTROPHE}{_LETTER}{{2,}}", "", _plain),
    (rf"{_LETTER}+[aeiouyAEIOUY]{_ANY_APOSTROPHE}[aeiouA-Z]{_LETTER}*", "", _plain),
    (f"[yY]{_APOSTROPHE}", _LETTER, _plain),
    # Addresses and names of the net.
    (r'(?i:https?)://[^\s"<>|(){}]+[^\s"<>|.!?(){},-]', "", _plain),
    (rf'(?i:www)\.(?:[^\s"<>|.!?(){{}},]+\.)+[A-Za-z]{{2,4}}{_PATH}', "", _plain),
    (rf"""(?:[^\s"`'<>|.!?(){{}},-_$]+\.)+(?i:com|net|org|edu){_PATH}""", "", _plain),
    (r'<?[A-Za-z0-9][^\s"<>|(){}]*@(?:[^\s"<>|().{}]+\.)*[^\s"<>|().{}]+>?', "", _plain),
    (rf"@[A-Za-z_][A-Za-z_0-9]*|#{_LETTER}+", "", _plain),
    # Clitics.
    (_CLITIC, "[^A-Za-z]", _quoted),
    (f"(?i:n{_ANY_APOSTROPHE}t)", "", _quoted),
    # Numbers and money.
    (r"\d{1,2}[-/]\d{1,2}[-/]\d{2,4}", "", _plain),
    (r"[-+]?(?:\d*(?:[.:,\u00ad]\d+)+|\d+)", "", _plain),
    (r"[\u207a\u207b\u208a\u208b]?(?:[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+|[\u2080-\u2089]+)", "", _plain),
    (r"(?:\d{1,4}[- \u00a0])?\d{1,4}(?:\\?/|\u2044)\d{1,4}", "", _plain),
    (r"[\u00bc-\u00be\u2153-\u215e]", "", _sign),
    (rf"{_SLASHED}(?:\\?/{_SLASHED}){{1,2}}", "", _plain),
    (r"[A-Z]*\$|#", "", _plain),
    (r"[\u00a2-\u00a5\u20a0\u20a4\u20ac\u0e3f]", "", _sign),
    (r"(?i:pro|anti)-", "", _plain),
    # Abbreviations.
    (rf"(?:{_ACRONYM}|[A-Za-z])\.", rf"{_BREAK}+{_any(_OPENERS, capital=True)}{_BREAK}", _initial),
    (_FIRM, r"[\s\S]{2}", _plain),
    (rf"{_FIRM}|(?:{_ACRONYM}|{_any(_TITLES)}|[A-Za-z])\.", "", _plain),
    (rf"{_any(_BEFORE_NUMBERS)}\.", rf"{_BREAK}?\d", _plain),
    (rf"{_APOSTROPHE}\d\d", _BREAK, _plain),
    (rf"(?:{_WORD}|{_COMPOUND}|{_COMPANY}|{_HYPHENATED})\.", _PAUSE, _plain),
    # Telephone numbers.
    (r"(?:\(\d{2,3}\) ?|\+{0,2}(?:\d{2,4}[- ]){1,2})\d{3,4}[- ]?\d{3,5}", "", _parentheses),
    # Faces.
    (r"[<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]]", "[^A-Za-z0-9]", _parentheses),
    (r"[-^x=~<>']_[-^x=~<>']|\([-^x=~<>'][_.]?[-^x=~<>']\)", "", _parentheses),
    # Punctuation.
    (r"<<|>>|[][<>(){}]", "", _sign),
    (r"-{3,}|[\u2013-\u2015]", "", _dashes),
    (r"--?|[,;:\u3001]|[?!]+|[.\u00a1\u00bf\u3002]|=|/|@+|#+|_+|\*+|(?:\\\*){1,3}", "", _plain),
    (r"\.{3,5}|(?:\.[ \u00a0]){2,4}\.|\u2026", "", _dots),
    # Words of letters, digits and hyphens.
    (_HYPHENATED, "", _plain),
    (_COMPOUND, "", _plain),
    (_COMPANY, "", _plain),
    (rf"{_ALNUM}+(?:\.{_ALNUM}+)*\.{_any(_FILE_ENDINGS)}", r"[\s.?!,\"'<]", _plain),
    (r"(?i:c\+\+|[cf]#)", "", _plain),
    # Quotes.
    ("'", r"[A-Za-z]\S", _quoted),
    (_CLITIC, "", _quoted),
    (r"[`\u2018-\u201f\u2039\u203a\u00ab\u00bb]{1,2}|''|[\"']", "", _quoted),
    # Other signs.
    (
        r"[+%&~^|\\\u00a6-\u00a9\u00ac\u00ae-\u00b8\u00ba\u00d7\u00f7\u2016\u2017\u2020-\u2023\u2030-\u2038\u203b\u203e-\u2042]",
        "",
        _plain,
    ),
    (
        r"[\u2044\u207a-\u207e\u208a-\u208e\u2100-\u214f\u2190-\u2bff\u3012\u30fb\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]",
        "",
        _plain,
    ),
]
_PATTERNS = [(re.compile(f"({word}){behind}"), write) for word, behind, write in _RULES]
# Nearly all words of a caption: letters alone, and a space behind. No rule sees more than the word in them.
_SIMPLE = re.compile(r"[A-Za-z]+(?=[ \n])")
_TWO_IN_ONE = {"cannot", "gonna", "wanna", "gotta", "lemme", "gimme"}
_BLANK = re.compile(r"[^\S\n]+")


def tokenize_captions(captions: Sequence[str]) -> list[list[str]]:
    """Split captions into words: lower case, no punctuation, clitics apart (``do n't``, ``man 's``).

    They are read one after the other, as by the original, since the next caption's beginning may tell how one ends: in ``the
    letter C.`` the full stop belongs to the letter, unless the next caption begins with ``A`` or another opener of sentences.

    Returns:
        The words of each caption.
    """
    text = "".join(caption.replace("\n", " ") + "\n" for caption in captions).replace("&nbsp;", " ").replace("&apos;", "'")
    lines: list[list[str]] = [[]]
    for token in _tokens(text):
        if token == "\n":
            lines.append([])
        elif token not in _DROPPED:
            lines[-1] += token.lower().split()
    return lines[:-1]


def tokenize_caption(caption: str) -> list[str]:
    """Split a caption into words, see :func:`tokenize_captions`."""
    return tokenize_captions([caption])[0]


def _tokens(text: str) -> Iterator[str]:
    """The tokens of lines, and the lines' ends."""
    place = 0
    while place < len(text):
        if text[place] == "\n":
            yield "\n"
            place += 1
        elif blank := _BLANK.match(text, place):
            place = blank.end()
        elif (simple := _SIMPLE.match(text, place)) and simple.group().lower() not in _TWO_IN_ONE:
            yield simple.group()
            place = simple.end()
        else:
            token, place = _longest(text, place)
            # What no rule knows is left out.
            if token:
                yield token


def _longest(text: str, place: int) -> tuple[str, int]:
    """The token at a place, and where the next one begins."""
    length, end, token = 0, place + 1, ""
    for pattern, write in _PATTERNS:
        match = pattern.match(text, place)
        if match and match.end() - place > length:
            length, end, token = match.end() - place, match.end(1), write(match.group(1))
            if write is _initial:
                # Of a single letter the full stop is a token of its own.
                end = place + len(token)
    return token, end
