"""Tokenization of captions as in COCO's caption evaluation.

The COCO evaluation runs the Penn Treebank tokenizer of Stanford CoreNLP 3.4.1 over all captions, one per line, converts the
tokens to lower case and drops punctuation. This module implements the same rules for English text.

At each position all rules are tried. The rule with the longest match wins, where the match includes the required context
after the token; of equally long matches the first rule in the table wins. On 60,000 lines of English prose and 220,000
synthetic lines full of abbreviations, numbers, quotes and signs, all tokens were equal to those of CoreNLP. Not implemented are
some special words of financial news (``S&P-500``) and of markup, and soft hyphens at the edge of a word. The result may also
differ for characters other than English letters, digits and signs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

__all__ = ["tokenize_caption", "tokenize_captions"]

# Abbreviations keep their full stop. These do so even directly before a letter, where they end the word.
_ABBREVIATIONS = """
    al ala apr ariz assn aug bancorp bhd bldg blvd bros calif co colo conn corp cos ct dak dec esq est etc ext feb fla fri
    ga inc ind intl jan jr jul jun kan kans ky ltd mar md mich minn mo mon mont neb nev nov oct okla penn plc ppte ppty pte
    ptes pty ptys rd rt sep sept seq sq sr sys tel tenn thu thurs tue tues univ va vt wed wis wisc wyo
"""
# These do so unless a letter follows directly.
_TITLES = """
    adj adm adv alex assoc asst atty attys ave brig capt cf cie cmdr col comdr cpl dept det dr drs elec ens ft gen gov govs
    hon insp invt jos lieut lt maj messrs mfg mlle mme mr mrs ms msgr mt mtg natl pfc ph pres prof profs pvt rep reps rev
    sen sens sfc sgt spc st ste supt supts treas vs wm
"""
# These are also common words, so they count as abbreviations only with a capital letter.
_CAPITALISED = "Ark Az Del Ill La Mass Miss Ore Pa Tex Wash"
# These count as abbreviations only before a number.
_BEFORE_NUMBERS = "art ca fig figs no nos op pp prop"
# Words that begin a sentence. A full stop between a single letter and one of these words ends the sentence ("letter C. A").
_SENTENCE_STARTERS = """
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
"""Tokens to drop. COCO's list also has brackets, but in upper case (``-LRB-``), so it never matches the lower-case tokens."""

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
    """Return a regex that matches one of the words, ignoring case; with ``capital`` the first letter must match exactly."""
    longest_first = sorted(words.split(), key=len, reverse=True)
    if capital:
        return "(?:" + "|".join(f"{word[0]}(?i:{re.escape(word[1:])})" for word in longest_first) + ")"
    return "(?i:" + "|".join(map(re.escape, longest_first)) + ")"


_ABBREVIATION = rf"(?:{_any(_ABBREVIATIONS)}|{_any(_CAPITALISED, capital=True)}|(?i:ed|ph)\.[Dd])\."


def _without_soft_hyphens(token: str) -> str:
    return token.replace("\u00ad", "")


def _ascii_quotes(token: str) -> str:
    return "".join(_QUOTES.get(sign, sign) for sign in token)


def _sign_name(token: str) -> str:
    return _SIGNS.get(token, token)


def _parenthesis_names(token: str) -> str:
    return token.replace("(", "-lrb-").replace(")", "-rrb-")


def _single_letter(token: str) -> str:
    """Split the full stop from a single letter ("C."), but not from an acronym ("U.S.")."""
    return token[0] if len(token) == 2 else token


def _dashes(token: str) -> str:
    return token if len(token) > 4 else "--"


def _ellipsis(token: str) -> str:
    return "..."


class _Rule(NamedTuple):
    """A tokenization rule.

    Attributes:
        token: regex of the token.
        context: regex of the text that must follow; it counts for the length of the match but is not part of the token.
        write: converts the matched token to the output form.
    """

    token: str
    context: str = ""
    write: Callable[[str], str] = _without_soft_hyphens


_RULES = [
    # Two words in one, such as "can|not" and "gon|na".
    _Rule(r"(?i:can(?=not)|'t(?=is|was)|(?:gon|wan)(?=na)|got(?=ta)|(?:lem|gim)(?=me))", "(?i:not|is|was|[nt]a|me)"),
    # Markup.
    _Rule(rf"<[A-Za-z][\w:.-]*(?: +{_ATTRIBUTE})* */?>|</[A-Za-z][\w:.-]* *>|<[!?][A-Za-z-][^>\n]*>"),
    _Rule(r"&(?:amp|quot|lt|gt|mdash|ndash|#\d+);", write=_sign_name),
    # Words, also before a clitic that is split off, such as "man|'s" and "do|n't".
    _Rule(_WORD, _CLITIC),
    _Rule(r"[A-Za-z\u00ad]*[A-MO-Za-mo-z]\u00ad*", f"(?i:n{_ANY_APOSTROPHE}t)"),
    _Rule(_WORD),
    # Words that keep their apostrophe.
    _Rule(rf"(?i:{_APOSTROPHE}(?:n{_APOSTROPHE}?|em|till?|cause|[2-9]0s)|(?:[ldj]|dunkin|somethin|ol){_APOSTROPHE})"),
    _Rule(r"(?i:cont'd\.?|nor'easter|c'mon|c'est|e'er|s'mores|ev'ry|li'l|nat'l|cap'n)"),
    _Rule(rf"[A-HJ-XZn]{_ANY_APOSTROPHE}{_LETTER}{{2,}}"),
    _Rule(rf"{_LETTER}+[aeiouyAEIOUY]{_ANY_APOSTROPHE}[aeiouA-Z]{_LETTER}*"),
    _Rule(f"[yY]{_APOSTROPHE}", _LETTER),
    # URLs, e-mail addresses, user names and hashtags.
    _Rule(r'(?i:https?)://[^\s"<>|(){}]+[^\s"<>|.!?(){},-]'),
    _Rule(rf'(?i:www)\.(?:[^\s"<>|.!?(){{}},]+\.)+[A-Za-z]{{2,4}}{_PATH}'),
    _Rule(rf"""(?:[^\s"`'<>|.!?(){{}},-_$]+\.)+(?i:com|net|org|edu){_PATH}"""),
    _Rule(r'<?[A-Za-z0-9][^\s"<>|(){}]*@(?:[^\s"<>|().{}]+\.)*[^\s"<>|().{}]+>?'),
    _Rule(rf"@[A-Za-z_][A-Za-z_0-9]*|#{_LETTER}+"),
    # Clitics.
    _Rule(_CLITIC, "[^A-Za-z]", _ascii_quotes),
    _Rule(f"(?i:n{_ANY_APOSTROPHE}t)", write=_ascii_quotes),
    # Numbers and money.
    _Rule(r"\d{1,2}[-/]\d{1,2}[-/]\d{2,4}"),
    _Rule(r"[-+]?(?:\d*(?:[.:,\u00ad]\d+)+|\d+)"),
    _Rule(r"[\u207a\u207b\u208a\u208b]?(?:[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+|[\u2080-\u2089]+)"),
    _Rule(r"(?:\d{1,4}[- \u00a0])?\d{1,4}(?:\\?/|\u2044)\d{1,4}"),
    _Rule(r"[\u00bc-\u00be\u2153-\u215e]", write=_sign_name),
    _Rule(rf"{_SLASHED}(?:\\?/{_SLASHED}){{1,2}}"),
    _Rule(r"[A-Z]*\$|#"),
    _Rule(r"[\u00a2-\u00a5\u20a0\u20a4\u20ac\u0e3f]", write=_sign_name),
    _Rule(r"(?i:pro|anti)-"),
    # Abbreviations.
    _Rule(rf"(?:{_ACRONYM}|[A-Za-z])\.", rf"{_BREAK}+{_any(_SENTENCE_STARTERS, capital=True)}{_BREAK}", _single_letter),
    _Rule(_ABBREVIATION, r"[\s\S]{2}"),
    _Rule(rf"{_ABBREVIATION}|(?:{_ACRONYM}|{_any(_TITLES)}|[A-Za-z])\."),
    _Rule(rf"{_any(_BEFORE_NUMBERS)}\.", rf"{_BREAK}?\d"),
    _Rule(rf"{_APOSTROPHE}\d\d", _BREAK),
    _Rule(rf"(?:{_WORD}|{_COMPOUND}|{_COMPANY}|{_HYPHENATED})\.", _PAUSE),
    # Telephone numbers.
    _Rule(r"(?:\(\d{2,3}\) ?|\+{0,2}(?:\d{2,4}[- ]){1,2})\d{3,4}[- ]?\d{3,5}", write=_parenthesis_names),
    # Emoticons.
    _Rule(r"[<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]]", "[^A-Za-z0-9]", _parenthesis_names),
    _Rule(r"[-^x=~<>']_[-^x=~<>']|\([-^x=~<>'][_.]?[-^x=~<>']\)", write=_parenthesis_names),
    # Punctuation.
    _Rule(r"<<|>>|[][<>(){}]", write=_sign_name),
    _Rule(r"-{3,}|[\u2013-\u2015]", write=_dashes),
    _Rule(r"--?|[,;:\u3001]|[?!]+|[.\u00a1\u00bf\u3002]|=|/|@+|#+|_+|\*+|(?:\\\*){1,3}"),
    _Rule(r"\.{3,5}|(?:\.[ \u00a0]){2,4}\.|\u2026", write=_ellipsis),
    # Words of letters, digits and hyphens.
    _Rule(_HYPHENATED),
    _Rule(_COMPOUND),
    _Rule(_COMPANY),
    _Rule(rf"{_ALNUM}+(?:\.{_ALNUM}+)*\.{_any(_FILE_ENDINGS)}", r"[\s.?!,\"'<]"),
    _Rule(r"(?i:c\+\+|[cf]#)"),
    # Quotes.
    _Rule("'", r"[A-Za-z]\S", _ascii_quotes),
    _Rule(_CLITIC, write=_ascii_quotes),
    _Rule(r"[`\u2018-\u201f\u2039\u203a\u00ab\u00bb]{1,2}|''|[\"']", write=_ascii_quotes),
    # Other signs.
    _Rule(
        r"[+%&~^|\\\u00a6-\u00a9\u00ac\u00ae-\u00b8\u00ba\u00d7\u00f7\u2016\u2017\u2020-\u2023\u2030-\u2038\u203b\u203e-\u2042]"
    ),
    _Rule(
        r"[\u2044\u207a-\u207e\u208a-\u208e\u2100-\u214f\u2190-\u2bff\u3012\u30fb\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]"
    ),
]
_PATTERNS = [(re.compile(f"({rule.token}){rule.context}"), rule.write) for rule in _RULES]
# Fast path for nearly all words of a caption: only letters, followed by a space. No rule matches more than the word there.
_SIMPLE = re.compile(r"[A-Za-z]+(?=[ \n])")
_SPLIT_WORDS = {"cannot", "gonna", "wanna", "gotta", "lemme", "gimme"}
_BLANK = re.compile(r"[^\S\n]+")


def tokenize_captions(captions: Sequence[str]) -> list[list[str]]:
    """Split captions into words: lower case, no punctuation, clitics separated (``do n't``, ``man 's``).

    All captions are one text, as in the COCO evaluation, because the start of the next caption may change the end of the
    previous one: in ``the letter C.`` the full stop belongs to the letter, unless the next caption begins with ``A`` or another
    word that begins sentences.

    Returns:
        The words of each caption.
    """
    text = "".join(caption.replace("\n", " ") + "\n" for caption in captions).replace("&nbsp;", " ").replace("&apos;", "'")
    lines: list[list[str]] = [[]]
    for token in _iter_tokens(text):
        if token == "\n":
            lines.append([])
        elif token not in _DROPPED:
            lines[-1] += token.lower().split()
    return lines[:-1]


def tokenize_caption(caption: str) -> list[str]:
    """Split a caption into words, see :func:`tokenize_captions`."""
    return tokenize_captions([caption])[0]


def _iter_tokens(text: str) -> Iterator[str]:
    r"""Yield the tokens of a text, and ``\n`` at the end of each line."""
    position = 0
    while position < len(text):
        if text[position] == "\n":
            yield "\n"
            position += 1
        elif blank := _BLANK.match(text, position):
            position = blank.end()
        elif (simple := _SIMPLE.match(text, position)) and simple.group().lower() not in _SPLIT_WORDS:
            yield simple.group()
            position = simple.end()
        else:
            token, position = _longest_match(text, position)
            # A character that no rule matches gives an empty token and is skipped.
            if token:
                yield token


def _longest_match(text: str, position: int) -> tuple[str, int]:
    """Return the token at a position, and the position of the next token."""
    length, end, token = 0, position + 1, ""
    for pattern, write in _PATTERNS:
        match = pattern.match(text, position)
        if match and match.end() - position > length:
            length, end, token = match.end() - position, match.end(1), write(match.group(1))
            if write is _single_letter:
                # The full stop after a single letter is the next token.
                end = position + len(token)
    return token, end
