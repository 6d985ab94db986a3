"""Tests of ELIZA: the conversation of the paper, every mechanism of the program, any input.

What a mechanism does to all scripts is shown with scripts of a few lines made up here; what people
know ELIZA for is shown with DOCTOR. Nothing here measures time: work is bounded by counting it.
"""

from __future__ import annotations

import re
from graphlib import TopologicalSorter
from itertools import chain
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatserver_sdk.agents.backends.doctor import SCRIPT
from chatserver_sdk.agents.backends.eliza_program import (
    GREETING,
    Program,
    Text,
    answer,
    read_script,
    slip_hash,
)

PUBLISHED = """
Men are all alike.
IN WHAT WAY
They're always bugging us about something or other.
CAN YOU THINK OF A SPECIFIC EXAMPLE
Well, my boyfriend made me come here.
YOUR BOYFRIEND MADE YOU COME HERE
He says I'm depressed much of the time.
I AM SORRY TO HEAR YOU ARE DEPRESSED
It's true. I am unhappy.
DO YOU THINK COMING HERE WILL HELP YOU NOT TO BE UNHAPPY
I need some help, that much seems certain.
WHAT WOULD IT MEAN TO YOU IF YOU GOT SOME HELP
Perhaps I could learn to get along with my mother.
TELL ME MORE ABOUT YOUR FAMILY
My mother takes care of me.
WHO ELSE IN YOUR FAMILY TAKES CARE OF YOU
My father.
YOUR FATHER
You are like my father in some ways.
WHAT RESEMBLANCE DO YOU SEE
You are not very aggressive but I think you don't want me to notice that.
WHAT MAKES YOU THINK I AM NOT VERY AGGRESSIVE
You don't argue with me.
WHY DO YOU THINK I DON'T ARGUE WITH YOU
You are afraid of me.
DOES IT PLEASE YOU TO BELIEVE I AM AFRAID OF YOU
My father is afraid of everybody.
WHAT ELSE COMES TO MIND WHEN YOU THINK OF YOUR FATHER
Bullies.
DOES THAT HAVE ANYTHING TO DO WITH THE FACT THAT YOUR BOYFRIEND MADE YOU COME HERE
"""

NONE = [
    "I AM NOT SURE I UNDERSTAND YOU FULLY",
    "PLEASE GO ON",
    "WHAT DOES THAT SUGGEST TO YOU",
    "DO YOU FEEL STRONGLY ABOUT DISCUSSING SUCH THINGS",
]


def converse(*statements: str) -> list[str]:
    """What DOCTOR says to each of the statements."""
    return [answer(statements[:count]) for count in range(1, len(statements) + 1)]


def play(rules: str, *statements: str) -> list[str]:
    """What a script of these rules says to each of the statements."""
    memory = "(0 FREE 0 = ONCE 3)" * 4
    frame = f"(HI) (MEMORY MINE {memory}) (NONE ((0) (NOTHING))) {rules} ()"
    program = Program(read_script(frame))
    return [program.reply(statement) for statement in statements]


def decompose(pattern: str, words: list[str]) -> list[list[str]] | None:
    """The constituents that a decomposition rule with this pattern finds."""
    script = f"(HI) (MEMORY GO) (NONE ((0) (NOTHING))) (GO (({pattern}) (GONE)))"
    found = Text(words).decompose(read_script(script).keywords["GO"])
    return found and found[1]


def test_published_conversation() -> None:
    """The conversation printed in the paper comes out word for word."""
    lines = PUBLISHED.strip().splitlines()
    assert converse(*lines[::2]) == lines[1::2] and len(lines) == 30


def test_greeting() -> None:
    """Before the user has said anything, ELIZA says the script's opening line."""
    assert answer([]) == GREETING == "HOW DO YOU DO. PLEASE TELL ME YOUR PROBLEM"


def test_hash() -> None:
    """HASH has the known values; a long word is its last cell, a strange letter a blank."""
    assert slip_hash("ALWAYS", 7) == 14  # the paper's own example
    assert [slip_hash(word, 2) for word in ("TIME", "KIDS", "HERE")] == [0, 1, 3]
    assert slip_hash("ABCDEFTIME", 15) == slip_hash("TIME", 15) == 0x252E
    assert slip_hash("ЖA", 15) == slip_hash(" A", 15)


def test_doctor_has_all_keywords() -> None:
    """All the lists of the appendix are there, besides the greeting, MEMORY and NONE."""
    heads = re.findall(r"^\(([A-Z']+)", SCRIPT, re.MULTILINE)[1:]
    assert len(heads) == len(set(heads)) == 66 + 2


def test_doctor_links_lead_somewhere() -> None:
    """Every link of DOCTOR leads to a keyword, and none in a circle."""
    keywords = read_script(SCRIPT).keywords
    links: dict[str, set[str]] = {}
    for keyword, rule in keywords.items():
        said = chain.from_iterable(each.reassemblies for each in rule.decompositions)
        links[keyword] = {reassembly.link for reassembly in said if reassembly.link}
    assert set(TopologicalSorter(links).static_order()) == set(keywords)


def test_doctor_numbers_name_constituents() -> None:
    """No reassembly rule of DOCTOR asks for a constituent its decomposition does not make."""
    script = read_script(SCRIPT)
    rules = [each for rule in script.keywords.values() for each in rule.decompositions]
    for each in [*rules, *script.memories, script.none]:
        made = sum(len(run.widths) for run in each.runs) + len(each.runs) - 1
        asked = [word for rule in each.reassemblies for word in rule.words]
        assert all(1 <= word <= made for word in asked if isinstance(word, int))


@pytest.mark.parametrize(
    ("statement", "reply"),
    [
        ("Well, my cat sleeps", "YOUR CAT SLEEPS"),
        ("Well. Now. My cat sleeps", "YOUR CAT SLEEPS"),
        ("Dogs bark but my cat sleeps", "YOUR CAT SLEEPS"),
        ("My cat sleeps, my dog barks", "YOUR CAT SLEEPS"),
        ("My cat sleeps BUT I am sad", "YOUR CAT SLEEPS"),
        ("Really?! My cat sleeps; a computer does not", "YOUR CAT SLEEPS"),
        ("My button fell off", "YOUR BUTTON FELL OFF"),
        (",,, ... my cat sleeps", "YOUR CAT SLEEPS"),
        ("The mother of me, my cat sleeps", "YOUR CAT SLEEPS"),
    ],
)
def test_delimiters(statement: str, reply: str) -> None:
    """The text is the first clause with a keyword, which MOTHER and ME by themselves are not."""
    assert answer([statement]) == reply


@pytest.mark.parametrize(
    ("statement", "reply"),
    [
        ("i dont dance", "DON'T YOU REALLY DANCE"),
        ("I’m sad", "I AM SORRY TO HEAR YOU ARE SAD"),
        ('"I" need (some) "rest"', "WHAT WOULD IT MEAN TO YOU IF YOU GOT SOME REST"),
        ("I want 🍕", "WHAT WOULD IT MEAN TO YOU IF YOU GOT 🍕"),
        ("I want 2 пирога", "WHAT WOULD IT MEAN TO YOU IF YOU GOT 2 ПИРОГА"),
        ("I\x00 want\ud800\npeace", "WHAT WOULD IT MEAN TO YOU IF YOU GOT PEACE"),
    ],
)
def test_words(statement: str, reply: str) -> None:
    """Words are substituted, and anything that can be seen may be a word."""
    assert answer([statement]) == reply


def test_end_of_hearing() -> None:
    """A keyword is not heard behind a hundred words, nor behind a thousand letters."""
    assert converse("blah, " * 49 + "my cat " + "purrs " * 9) == ["YOUR CAT"]
    assert converse("blah " * 100 + "my cat", "B" * 1000 + " my cat") == NONE[:2]


def test_keystack() -> None:
    """The highest keyword is on top, else the first; below, YOU stays before the higher MY."""
    assert converse("Perhaps my computer and I dream", "Perhaps I can", "Do you like my cat") == [
        "DO COMPUTERS WORRY YOU",
        "YOU DON'T SEEM QUITE CERTAIN",
        "WE WERE DISCUSSING YOU - NOT ME",
    ]


def test_newkey_without_another_key() -> None:
    """NEWKEY on the last keyword makes the text one without keywords."""
    assert converse("birds like seeds", "birds like like seeds") == NONE[:2]


def test_newkey_in_its_turn() -> None:
    """NEWKEY takes its turn among the reassembly rules, also within one text."""
    rules = "(A 2 ((0) (FIRST) (NEWKEY))) (B ((0) (SECOND)))"
    assert play(rules, "b a", "b a", "b a", "a a") == ["FIRST", "SECOND", "FIRST", "FIRST"]


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("0", "", "()"),
        ("0 A 0 B 0", "C A D B A B", "(C)(A)(D)(B)(A B)"),
        ("0 A B 0", "A C A B", "(A C)(A)(B)()"),
        ("0 0 0", "A B", "()()(A B)"),
        ("1 0 2", "A B C D", "(A)(B)(C D)"),
        ("1 0 2", "A B", None),
        ("0 (*A B) 0", "C B A", "(C)(B)(A)"),
    ],
)
def test_decomposition(pattern: str, text: str, found: str | None) -> None:
    """A 0 takes as few words as will do, a count exactly so many, all else one word."""
    constituents = decompose(pattern, text.split())
    assert (constituents and "".join(f"({' '.join(words)})" for words in constituents)) == found


def by_trial(pattern: list[str], words: list[str]) -> list[list[str]] | None:
    """The constituents as the paper defines them: by trying every length for every 0."""
    if not pattern:
        return None if words else []
    head, *tail = pattern
    widths = range(len(words) + 1) if head == "0" else [int(head) if head.isdecimal() else 1]
    for width in widths:
        rest = by_trial(tail, words[width:])
        fits = len(words) >= width and (head.isdecimal() or words[:1] == [head])
        if fits and rest is not None:
            return [words[:width], *rest]
    return None


@settings(deadline=None)
@given(
    st.lists(st.sampled_from("000122AABBC"), min_size=1, max_size=7),
    st.lists(st.sampled_from("AABBC"), max_size=9),
)
def test_decomposition_misses_nothing(pattern: list[str], words: list[str]) -> None:
    """Though nothing is tried twice, what is found is what trying everything finds first."""
    assert decompose(" ".join(pattern), words) == by_trial(pattern, words)


def test_decomposition_is_remembered() -> None:
    """A text is searched by a rule only once, however often the keyword was said."""
    rule, text = read_script(SCRIPT).keywords["LIKE"], Text(["LIKE"] * 9)
    assert text.decompose(rule) is text.decompose(rule)


def test_groups() -> None:
    """One of several words, or of the words with one of several tags, is one constituent."""
    rules = """
        (APPLE DLIST(/FRUIT SWEET)) (LEMON = CITRUS DLIST(/ FRUIT)) (CITRUS DLIST(/FRUIT))
        (CANDY DLIST(/SWEET)) (RED DLIST(/COLOUR))
        (EAT ((0 (* THE THIS) (/FRUIT) 0) (FRUIT 3))
             ((0 (/SWEET COLOUR) 0) (OTHER 2)))
    """
    statements = ("eat this apple", "eat the lemon", "eat candy", "eat red", "eat bread")
    replies = ["FRUIT APPLE", "FRUIT CITRUS", "OTHER CANDY", "OTHER RED", "HMMM"]
    assert play(rules, *statements) == replies


def test_rotation() -> None:
    """The reassembly rules of a decomposition rule take turns, and then begin again."""
    heard = converse(*["No"] * 5)
    assert heard[1:4] == ["YOU ARE BEING A BIT NEGATIVE", "WHY NOT", "WHY 'NO'"]
    assert heard[0] == heard[4] == "ARE YOU SAYING 'NO' JUST TO BE NEGATIVE"


def test_rotation_is_each_rules_own() -> None:
    """What one decomposition rule has used up does not move another one on."""
    heard = converse("I feel ill", "I am ill", "I feel ill")
    assert heard[::2] == ["TELL ME MORE ABOUT SUCH FEELINGS", "DO YOU OFTEN FEEL ILL"]


def test_links_share_their_rule() -> None:
    """Keywords that link to one rule take turns in it together."""
    assert converse("How", "When", "What", "Why can't they") == [
        "WHY DO YOU ASK",
        "DOES THAT QUESTION INTEREST YOU",
        "WHAT IS IT YOU REALLY WANT TO KNOW",
        "ARE SUCH QUESTIONS MUCH ON YOUR MIND",
    ]


def test_link_keeps_the_text() -> None:
    """The rule linked to decomposes the same text, and NEWKEY there goes on below the link."""
    rules = "(A 1 (=B)) (B ((0 X 0) (SAW 3)) ((0) (NEWKEY))) (C ((0) (SAW C)))"
    assert play(rules, "a x y", "a c") == ["SAW Y", "SAW C"]


def test_pre() -> None:
    """PRE makes a new text, which the keyword linked to then decomposes."""
    assert converse("Today you're mad at me", "Now I'm quite lost") == [
        "WHAT MAKES YOU THINK I AM MAD AT YOU",
        "IS IT BECAUSE YOU ARE QUITE LOST THAT YOU CAME TO ME",
    ]


def test_none() -> None:
    """Texts without keywords get the remarks of NONE in turn, whatever they are."""
    statements = ("", "None", "Memory...", "?!", "хорошо")
    assert converse(*statements) == NONE + NONE[:1]


def test_no_decomposition_fits() -> None:
    """Where all rules of a keyword fail, the program's own remarks go with LIMIT."""
    replies = ["HMMM", "GO ON , PLEASE", "I SEE", "PLEASE CONTINUE", "HMMM"]
    assert converse(*["Can they come"] * 5) == replies


@pytest.mark.parametrize(
    ("statement", "memory"),
    [
        ("My train is on time", "LETS DISCUSS FURTHER WHY YOUR TRAIN IS ON TIME"),
        ("My wife wants kids", "EARLIER YOU SAID YOUR WIFE WANTS KIDS"),
        ("My home is Gloucestershire", "BUT YOUR HOME IS GLOUCESTERSHIRE"),
        ("My bus is here", PUBLISHED.splitlines()[-1].replace("BOYFRIEND MADE YOU COME", "BUS IS")),
    ],
)
def test_memory(statement: str, memory: str) -> None:
    """The last word of the clause chooses how it is remembered."""
    assert answer([statement, "Well", "Well"]) == memory


def test_memory_waits_for_limit() -> None:
    """Memories come back once each, oldest first, and only where LIMIT is 4."""
    heard = converse(*[f"My {pet} wants kids" for pet in ("cat", "dog", "fox")], *["Well"] * 8)
    assert heard[6] == "EARLIER YOU SAID YOUR CAT WANTS KIDS"
    assert heard[10] == "EARLIER YOU SAID YOUR DOG WANTS KIDS"
    assert heard[3:6] + heard[7:10] == NONE + NONE[:2]


def test_memory_and_other_keywords() -> None:
    """Neither is a keyword passed over for a memory, nor is MY remembered below another one."""
    assert converse("My cat is here", "Well", "Yes")[-1] == "YOU SEEM QUITE POSITIVE"
    assert converse("My computer is here", "Well", "Well")[1:] == NONE[:2]
    assert converse("My kids like kids", "Well", "Well") == ["YOUR KIDS LIKE KIDS", *NONE[:2]]


def test_memory_needs_its_decomposition() -> None:
    """A text that MEMORY's own pattern does not fit is answered and not remembered."""
    rules = "(MINE = FREE ((0) (GO ON))) (MINE-TOO (=MINE))"
    assert play(rules, "so mine x", "well", "well") == ["GO ON", "NOTHING", "ONCE X"]
    kept = rules.replace("= FREE", "")
    assert play(kept, "so mine x", "well", "well") == ["GO ON", "NOTHING", "NOTHING"]


VOCABULARY = sorted({*re.findall(r"[A-Z']+", SCRIPT), ".", ",", "tree", "7"})
SENTENCES = st.lists(st.sampled_from(VOCABULARY), max_size=12).map(" ".join)
STATEMENTS = st.lists(SENTENCES | st.text(st.characters()), max_size=12)


@settings(deadline=None)
@given(STATEMENTS)
def test_any_statements(statements: list[str]) -> None:
    """Whatever is said, there is a reply that can be sent, and it is always the same."""
    reply = answer(statements)
    assert reply.strip() and reply.encode()
    assert reply == answer(statements)


@settings(deadline=None)
@given(STATEMENTS)
def test_replay(statements: list[str]) -> None:
    """A server that replays says what a program that ran on without a break would have said."""
    program = Program(read_script(SCRIPT))
    assert converse(*statements) == [program.reply(statement) for statement in statements]


LARGE = "I |x|, | |like |dreamt dream like was is |I think you |🙂|\n|'".split("|")


@pytest.mark.parametrize("piece", LARGE)
def test_large_input(piece: str) -> None:
    """A megabyte of anything gets an answer of a reasonable size, and so do hundreds of them."""
    text = piece * (1_000_000 // len(piece))
    assert 0 < len(answer([text])) < 4_000
    assert 0 < len(answer([text] * 500)) < 4_000


class CountedWords(list[str]):
    """Words that count how often one is looked up."""

    lookups = 0

    def __getitem__(self, key: Any) -> Any:
        self.lookups += 1
        return super().__getitem__(key)


MANY = ["A"] * 100_000
ENDLESS = [
    ("0 0 0", MANY),
    ("0 A 0 A 0 A 0 B", ["B", *MANY]),
    ("0 A 0 A 0 A B 0 B", ["B", *MANY, "B"]),
    ("0 A A B 0 A A C 0 0", ["C", *MANY, "B", *MANY]),
    ("1 0 (*A B) 2 C 0", ["C", *MANY]),
]


@pytest.mark.parametrize(("pattern", "words"), ENDLESS)
def test_decomposition_of_a_long_text(pattern: str, words: list[str]) -> None:
    """Each word of a text is looked at no more often than the pattern has elements."""
    counted = CountedWords(words)
    decompose(pattern, counted)
    assert counted.lookups <= len(words) * len(pattern.split())
