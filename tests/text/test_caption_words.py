"""Words of captions. The expected words are the output of pycocoevalcap 1.2 with Java."""

import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbeit3.text.caption_words import tokenize_caption, tokenize_captions

# fmt: off
CASES = [
    ('A red box, on the mat.', 'a red box on the mat'),
    ("The man's dog doesn't run!", "the man 's dog does n't run"),
    ('they\u2019re 10,000 t-shirts (black/white)', "they 're 10,000 t-shirts -lrb- black/white -rrb-"),
    ("at 5 o'clock p.m. in the U.S., e.g. this", "at 5 o'clock p.m. in the u.s. e.g. this"),
    ("one dress.A dog's toy costs $5 or 50%", "one dress.a dog 's toy costs $ 5 or 50 %"),
    ('it cannot be: "so" -- really...', 'it can not be so really'),
    ("men\u2019s 'quoted' ` words; & more", "men 's quoted words & more"),
    ('a 3.5 inch screen at 5:30.', 'a 3.5 inch screen at 5:30'),
    ('\u201cStop\u201d signs \u2013 two \u2014 and \u2026 more', 'stop signs two and more'),
    ('a sign says \u2018don\u2019t walk\u2019', "a sign says do n't walk"),
    ('bus no. 5 at no. 12', 'bus no. 5 at no. 12'),
    ('there are no. really', 'there are no really'),
    ('the sign says no.', 'the sign says no'),
    ('Nos. 3 and 4, fig. 2, a fig.', 'nos. 3 and 4 fig. 2 a fig'),
    ('on Main St. near 5th Ave. and Elm Blvd.', 'on main st. near 5th ave. and elm blvd.'),
    ('dogs, cats, etc.', 'dogs cats etc.'),
    ('etc., and so on', 'etc. and so on'),
    ('Mr. Smith, Dr. Jones and St. Bernard', 'mr. smith dr. jones and st. bernard'),
    ("Mr.Smith on Main St.John's", "mr.smith on main st.john 's"),
    ('10 lbs. of 3 ft. long rope, 5 min. ago', '10 lbs of 3 ft. long rope 5 min ago'),
    ('Mass. and mass. of Miss. and miss.', 'mass. and mass of miss. and miss'),
    ('J. K. Rowling, J.K. and a letter b.', 'j. k. rowling j.k. and a letter b.'),
    ('vitamin C. The bottle', 'vitamin c the bottle'),
    ('in the U.S. The flag', 'in the u.s. the flag'),
    ('the U.S.A. and the U.S', 'the u.s.a. and the u.s'),
    ('a Ph.D. and an M.D.', 'a ph.d. and an m.d.'),
    ("it's I'm I'd they'll we've you're dogs'", "it 's i 'm i 'd they 'll we 've you 're dogs"),
    ("can't won't don't CAN'T don`t", "ca n't wo n't do n't ca n't do n`t"),
    ("gonna wanna gotta lemme gimme cannot 'tis 'twas", "gon na wan na got ta lem me gim me can not 't is 't was"),
    ("rock 'n' roll, 'em, 'til, o'clock, O'Brien, ma'am, y'all", "rock 'n' roll 'em 'til o'clock o'brien ma'am y' all"),
    ("the '90s, 1990's, '57, '5", "the '90s 1990 's 57 5"),
    ('B&W, AT&T and R&B, salt & pepper, a&b', 'b&w at&t and r&b salt & pepper a & b'),
    ('t-shirt, two-story, 20-year-old, U.S.-made, a - b, -c, d-', 't-shirt two-story 20-year-old u.s.-made a b c d'),
    ('w/ a dog w/o and/or 24/7 1/2 1 1/2 3/4"', 'w / a dog w/o and/or 24/7 1/2 1 1/2 3/4'),
    ('½ cup, 1½ cups, 5° C, 90°F', '1/2 cup 1 1/2 cups 5 ° c 90 ° f'),
    ('5\'10" and 6\' 2" by 12"', '5 10 and 6 2 by 12'),
    ('$5.99 US$5 £20 €5 5¢ #1 #dog @home', '$ 5.99 us$ 5 # 20 $ 5 5 cents # 1 #dog @home'),
    ('www.flickr.com, http://a.com/b?c=d, site.com. me@site.com', 'www.flickr.com http://a.com/b?c=d site.com me@site.com'),
    ('wow!! what?! really? ok...', 'wow !! what ?! really ok'),
    ('[a] {b} <c> (d)', '-lsb- a -rsb- -lcb- b -rcb- <c> -lrb- d -rrb-'),
    ('a :) b :( c ;-)', 'a :-rrb- b :-lrb- c ;--rrb-'),
    ('hello!there a,b c;d e:f', 'hello!there a b c ;d e f'),
    ('dog., cat.: bird.; end.', 'dog. cat. bird. end'),
    ('10/10/2010, 555-1234, (555) 123-4567', '10/10/2010 555-1234 -lrb-555-rrb- 123-4567'),
    ('café naïve Über 東京 😀 ★ ♥', 'café naïve über 東京 ★ ♥'),
    ('c++, c# and 3.x.', 'c++ c# and 3.x'),
    ('5pm 5:30pm 7p.m. 5 p.m.', '5pm 5:30 pm 7p m. 5 p.m.'),
    ('', ''),
    ('  ', ''),
    ('...', ''),
    ('No. A dog', 'no a dog'),
]
# fmt: on


@pytest.mark.parametrize(("caption", "words"), CASES)
def test_split_into_words(caption, words):
    assert tokenize_caption(caption) == words.split()


def test_captions_end_as_the_next_one_lets_them():
    captions = [
        "the letter C.",
        "A dog",
        "the letter C.",
        "a dog",
        "stop no.",
        "5 dogs",
        "side B.",
        "THE dog",
        "side b.",
        "Ten",
    ]
    found = [" ".join(words) for words in tokenize_captions(captions)]
    assert found[::2] == ["the letter c", "the letter c.", "stop no.", "side b", "side b."]
    assert found[1::2] == ["a dog", "a dog", "5 dogs", "the dog", "ten"]
    assert tokenize_captions([]) == []
    assert tokenize_captions(["", "a\nb", "\n"]) == [[], ["a", "b"], []]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40), st.lists(st.sampled_from([case for case, _ in CASES]), max_size=3))
def test_whatever_comes(text, captions):
    """Each caption gives its own list of words, and words have no whitespace."""
    found = tokenize_captions([*captions, text, *captions])
    assert len(found) == 2 * len(captions) + 1
    for word in found[len(captions)]:
        assert word == word.strip()
        assert word
        assert word not in "\"'.,:;?!`"
    if captions:
        assert found[: len(captions) - 1] == tokenize_captions(captions)[:-1]


def test_equals_the_original():
    tokenizer = pytest.importorskip("pycocoevalcap.tokenizer.ptbtokenizer")
    if shutil.which("java") is None:
        pytest.skip("no Java")
    captions = [case for case, _ in CASES if case.strip()]
    theirs = tokenizer.PTBTokenizer().tokenize({number: [{"caption": one}] for number, one in enumerate(captions)})
    assert [" ".join(words) for words in tokenize_captions(captions)] == [
        " ".join(theirs[number][0].split()) for number in range(len(captions))
    ]
