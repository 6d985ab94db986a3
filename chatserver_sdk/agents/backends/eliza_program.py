"""ELIZA, the program of 1966 that plays a script, and `answer`, the one door to it.

It follows Weizenbaum's paper (Communications of the ACM 9(1), January 1966) and, where the paper
is vague, the listing found among his papers. No line of a script lives here (that is `doctor`),
and nothing that knows of servers, sessions or clocks: equal statements have equal answers.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Final, NamedTuple, TypeAlias

from chatserver_sdk.agents.backends.doctor import SCRIPT

# --- Reading a script ---------------------------------------------------------------------------

Words: TypeAlias = "list[str]"
Form: TypeAlias = "list[str | Form]"
Tags: TypeAlias = "Mapping[str, set[str]]"


class Run(NamedTuple):
    """What a decomposition rule has between two zeros; its length is therefore fixed."""

    places: tuple[frozenset[str] | None, ...]  # the words that may stand there; None: any word
    widths: tuple[int, ...]  # how many of the places each constituent takes


class Reassembly(NamedTuple):
    """(words), (=LINK), or both of them at once, which is (PRE (words) (=LINK))."""

    words: tuple[str | int, ...] = ()  # a number stands for that constituent of the text
    link: str = ""


# Compared by identity: two rules that read alike still take their turns apart.
@dataclass(frozen=True, eq=False)
class Decomposition:
    """A decomposition rule with the reassembly rules that go with it."""

    runs: tuple[Run, ...]
    reassemblies: tuple[Reassembly, ...]


@dataclass(frozen=True, eq=False)
class Rule:
    """A keyword's list, without the word to be put in the keyword's place."""

    precedence: int
    decompositions: tuple[Decomposition, ...]


class Script(NamedTuple):
    """A script as read: data for the program, never changed by it."""

    greeting: str
    substitutes: Mapping[str, str]
    keywords: Mapping[str, Rule]
    memory_keyword: str
    memories: tuple[Decomposition, ...]
    none: Decomposition


_NEWKEY: Final = Reassembly(("NEWKEY",))

# = * and / part words even where nothing else does: the paper writes (=WHAT) and (= EVERYONE).
_SYMBOL: Final = re.compile(r"[()=*/]|[^\s()=*/]+")


def read_script(text: str) -> Script:
    """The script written in these S-expressions, in the form of the paper's appendix."""
    # The atom START and the empty list at the end only told a tape reader what it had reached.
    greeting, *forms = filter(None, _lists(_form(iter(_SYMBOL.findall(text)))))
    tags = _tags(forms)
    heads = {_atoms(form)[0]: form for form in forms}
    # Kept apart from the keywords, or a user who says "none" or "memory" would set them off.
    memory, none = heads.pop("MEMORY"), heads.pop("NONE")
    rules = {keyword: _rule(form, tags) for keyword, form in heads.items()}
    return Script(
        greeting=" ".join(_atoms(greeting)),
        substitutes={key: _atoms(form)[2] for key, form in heads.items() if form[1] == "="},
        # A word that is only substituted or tagged, like MOTHER, is not a keyword: were it one,
        # it would hold the scan at a clause for which there is no transformation.
        keywords={keyword: rule for keyword, rule in rules.items() if rule.decompositions},
        memory_keyword=_atoms(memory)[1],
        memories=tuple(_memory(form, tags) for form in _lists(memory)),
        none=_rule(none, tags).decompositions[0],
    )


def _form(symbols: Iterator[str]) -> Form:
    """What stands before the closing bracket of this level."""
    found: Form = []
    for symbol in symbols:
        if symbol == ")":
            break
        found.append(_form(symbols) if symbol == "(" else symbol)
    return found


def _atoms(form: Form) -> Words:
    return [item for item in form if isinstance(item, str)]


def _lists(form: Form) -> list[Form]:
    return [item for item in form if isinstance(item, list)]


def _tags(forms: list[Form]) -> Tags:
    """The words that bear each tag: DLIST(/BELIEF) in FEEL's list puts FEEL under BELIEF."""
    found: dict[str, set[str]] = {}
    for form in forms:
        marked = [_atoms(part)[1:] for part in _lists(form) if part[0] == "/"]
        for tag in chain.from_iterable(marked):
            found.setdefault(tag, set()).add(_atoms(form)[0])
    return found


def _rule(form: Form, tags: Tags) -> Rule:
    rank = _atoms(form)[-1]
    transformations = [part for part in _lists(form) if part[0] != "/"]
    return Rule(
        precedence=int(rank) if rank.isdecimal() else 0,
        decompositions=tuple(_decomposition(part, tags) for part in transformations),
    )


def _decomposition(form: Form, tags: Tags) -> Decomposition:
    if form[0] == "=":  # a link without a decomposition, as in (HOW (=WHAT)): any text will do
        return Decomposition(_runs(["0"], tags), (_reassembly(form),))
    pattern, *reassemblies = _lists(form)
    return Decomposition(_runs(pattern, tags), tuple(map(_reassembly, reassemblies)))


def _memory(form: Form, tags: Tags) -> Decomposition:
    middle = form.index("=")  # where the other rules have brackets; there is one reassembly
    return Decomposition(_runs(form[:middle], tags), (_reassembly(form[middle + 1 :]),))


def _reassembly(form: Form) -> Reassembly:
    if form[0] == "=":
        return Reassembly(link=_atoms(form)[1])
    if form[0] == "PRE":
        words, link = _lists(form)
        return Reassembly(_reassembly(words).words, _atoms(link)[1])
    return Reassembly(tuple(int(atom) if atom.isdecimal() else atom for atom in _atoms(form)))


def _runs(pattern: Form, tags: Tags) -> tuple[Run, ...]:
    """The pattern cut at its zeros; there is one run more than zeros, the empty ones included."""
    runs = [Run((), ())]
    for element in pattern:
        if element == "0":
            runs.append(Run((), ()))
            continue
        places = _places(element, tags)
        runs[-1] = Run(runs[-1].places + places, runs[-1].widths + (len(places),))
    return tuple(runs)


def _places(element: str | Form, tags: Tags) -> tuple[frozenset[str] | None, ...]:
    if isinstance(element, str):
        return (None,) * int(element) if element.isdecimal() else (frozenset([element]),)
    mark, *names = _atoms(element)
    return (frozenset(names if mark == "*" else (word for tag in names for word in tags[tag])),)


# --- Decomposing and reassembling a text --------------------------------------------------------


class Text:
    """One clause of a user, or what PRE made of it, on which decomposition rules are tried."""

    def __init__(self, words: Words) -> None:
        self.words = words
        self._heard = frozenset(words)
        self._decomposed: dict[Rule, tuple[Decomposition, list[Words]] | None] = {}

    def decompose(self, rule: Rule) -> tuple[Decomposition, list[Words]] | None:
        """The rule's first decomposition that fits, with the constituents it finds."""
        # Remembered, because a keyword is on the keystack as often as it was said: with NEWKEY, a
        # text of a hundred LIKEs would be searched for the same a hundred times.
        if rule not in self._decomposed:
            tried = ((each, self.constituents(each)) for each in rule.decompositions)
            fitting = ((each, found) for each, found in tried if found is not None)
            self._decomposed[rule] = next(fitting, None)
        return self._decomposed[rule]

    def constituents(self, decomposition: Decomposition) -> list[Words] | None:
        """The words under each element of the pattern, or None where it does not fit.

        A 0 takes as few words as it can: the paper wants the MOTHER or FATHER that comes "first
        after the first appearance of the word YOUR". As the runs between zeros have a fixed
        length, the first place where a run fits is never worse for the runs behind it than a
        later one, so that nothing is ever tried again: each run walks over the text once.
        """
        starts: list[int] = []
        end = 0
        for number, run in enumerate(decomposition.runs, 1):
            latest = len(self.words) - len(run.places)
            first = max(end, latest) if number == len(decomposition.runs) else end
            start = self._find(run, first, min(latest, 0) if number == 1 else latest)
            if start is None:
                return None
            starts.append(start)
            end = start + len(run.places)
        return self._cut(decomposition.runs, starts)

    def _find(self, run: Run, first: int, latest: int) -> int | None:
        """The first place from `first` to `latest` where the run fits."""
        # Most rules name a word that was not said at all; that is seen without a walk.
        for allowed in run.places:
            if allowed is not None and self._heard.isdisjoint(allowed):
                return None
        return next((at for at in range(first, latest + 1) if self._fits(run, at)), None)

    def _fits(self, run: Run, at: int) -> bool:
        for place, allowed in enumerate(run.places, at):
            if allowed is not None and self.words[place] not in allowed:
                return False
        return True

    def _cut(self, runs: tuple[Run, ...], starts: list[int]) -> list[Words]:
        found = [self.words[: starts[0]]]
        for run, start, stop in zip(runs, starts, [*starts[1:], len(self.words)]):
            for width in run.widths:
                found.append(self.words[start : start + width])
                start += width
            found.append(self.words[start:stop])  # under the 0 that parts this run from the next
        return found[1:-1]  # before the first run and behind the last there is no 0


def _reassemble(reassembly: Reassembly, constituents: list[Words]) -> Words:
    said: Words = []
    for word in reassembly.words:
        said += constituents[word - 1] if isinstance(word, int) else [word]
    return said


# --- Listening ----------------------------------------------------------------------------------

# A statement is looked at no further than this, because a reply may repeat all that was heard, and
# each answer hears all statements again. The letters are bounded for what is hardly words at all.
_WORDS_HEARD: Final = 100
_LETTERS_HEARD: Final = 1_000

# The paper has the comma and the period for delimiters, the listing BUT as well. The 7094 had no
# ; : ! in its alphabet and its typewriter took ? to erase the line: here they do as a period does.
_MARKS: Final = ".,;:?!…—"
_DELIMITERS: Final = frozenset([*_MARKS, "BUT"])

# Brackets, quotes and what nobody can see (control characters, and halves of surrogate pairs,
# which no server could encode in a reply) are blanks. All else is a word, digits and emoji too.
_BLANKS: Final = r"\s\x00-\x1f\x7f-\x9f\ud800-\udfff\"()\[\]{}<>«»“”„"
_SAID: Final = re.compile(rf"[{_MARKS}]|[^{_MARKS}{_BLANKS}]+")


def _clauses(statement: str) -> Iterator[Words]:
    """What a statement has between its delimiters, in upper case."""
    heard = statement[:_LETTERS_HEARD].upper().replace("’", "'")  # telephones write I’M for I'M
    said = _SAID.findall(heard)[:_WORDS_HEARD]
    for delimits, words in groupby(said, _DELIMITERS.__contains__):
        if not delimits:
            yield list(words)


_CELL: Final = 6  # SLIP kept six letters of six bits in a cell; a longer word ran on in the next
# A letter's place is its code in the 7094; ? fills the codes that have none.
_BCD: Final = "0123456789?='???+ABCDEFGHI?.)???-JKLMNOPQR?$*??? /STUVWXYZ?,(???"


def slip_hash(word: str, bits: int) -> int:
    """SLIP's HASH of a word's last cell: that many bits from the middle of its square."""
    datum = 0
    for letter in word[(len(word) - 1) // _CELL * _CELL :].ljust(_CELL):
        datum = datum << 6 | _BCD.index(letter if letter in _BCD else " ")
    # The first of a cell's 36 bits was the sign, in which the 7094 did not multiply.
    square = (datum & (1 << 35) - 1) ** 2
    return (square >> (35 - bits // 2)) & ((1 << bits) - 1)


# --- The program --------------------------------------------------------------------------------

# Said by LIMIT where all rules of a keyword fail. These are not the paper's but the listing's,
# which calls it a script error; yet DOCTOR's own CAN and DREAMT can bring it about.
_NO_MATCH: Final = ("PLEASE CONTINUE", "HMMM", "GO ON , PLEASE", "I SEE")


class Program:
    """ELIZA in one conversation: a script, and what has been used up and stored of it so far."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._uses: Counter[Decomposition] = Counter()
        self._memory: deque[str] = deque()
        # LIMIT, the paper's "certain counting mechanism": it goes round from 1 to 4 with every
        # statement, whatever is in it, and the first statement already finds it at 2.
        self._limit = 1

    def reply(self, statement: str) -> str:
        """What ELIZA prints when the user has typed this; if it is empty, it has no keyword.

        In 1966 that ended the play, and + or * opened the script to changes: no chat needs either.
        """
        self._limit = self._limit % 4 + 1
        clause, keystack = self._listen(statement)
        # From here on the user's "my" is the doctor's "your", in patterns as in replies.
        text = Text([self._script.substitutes.get(word, word) for word in clause])
        if keystack:
            self._remember(text, keystack[0])
            return self._transform(text, keystack)
        if self._memory and self._limit == 4:
            return self._memory.popleft()
        return self._without_keyword(text)

    def _listen(self, statement: str) -> tuple[Words, deque[str]]:
        """The first clause with a keyword in it, and the keystack made from it.

        Those before it are dropped and those behind it not read: a transformation is made for one
        thought, and two of them would come out of it as nonsense.
        """
        for clause in _clauses(statement):
            keystack = self._keystack(clause)
            if keystack:
                return clause, keystack
        return [], deque()

    def _keystack(self, clause: Words) -> deque[str]:
        """The clause's keywords: on top each that outranked all before it, the rest at the bottom.

        The paper does not sort them, as one might expect: only the top is sure of its place.
        """
        keystack: deque[str] = deque()
        highest = 0
        for word in filter(self._script.keywords.__contains__, clause):
            rank = self._script.keywords[word].precedence
            if rank > highest:
                highest = rank
                keystack.appendleft(word)
            else:
                keystack.append(word)
        return keystack

    def _remember(self, text: Text, top_keyword: str) -> None:
        """Store a remark for later, if the script wants this keyword remembered."""
        if top_keyword != self._script.memory_keyword:
            return
        # The paper says "randomly selected". What it had for chance was the clause's last word.
        chosen = self._script.memories[slip_hash(text.words[-1], bits=2)]
        constituents = text.constituents(chosen)
        if constituents is not None:
            self._memory.append(" ".join(_reassemble(chosen.reassemblies[0], constituents)))

    def _transform(self, text: Text, keystack: deque[str]) -> str:
        """Go down the keystack until a reassembly rule says something."""
        while keystack:
            found = text.decompose(self._script.keywords[keystack.popleft()])
            if found is None:
                return _NO_MATCH[self._limit - 1]
            reassembly = self._next_reassembly(found[0])
            if reassembly == _NEWKEY:
                continue
            words = _reassemble(reassembly, found[1])
            if not reassembly.link:
                return " ".join(words)
            text = Text(words) if words else text  # PRE: its link gets these, not the user's
            keystack.appendleft(reassembly.link)
        return self._without_keyword(text)

    def _without_keyword(self, text: Text) -> str:
        reassembly = self._next_reassembly(self._script.none)
        return " ".join(_reassemble(reassembly, [text.words]))  # NONE's pattern is (0), all of it

    def _next_reassembly(self, decomposition: Decomposition) -> Reassembly:
        """The reassembly rules take turns, lest ELIZA repeat herself where the user does."""
        turn = self._uses[decomposition] % len(decomposition.reassemblies)
        self._uses[decomposition] += 1
        return decomposition.reassemblies[turn]


_DOCTOR: Final = read_script(SCRIPT)

GREETING: Final[str] = _DOCTOR.greeting


def answer(statements: Sequence[str]) -> str:
    """What ELIZA says to the last of a user's statements, having heard the ones before it.

    It is in upper case, as the program of 1966 printed it, and GREETING if there is no statement.
    The conversation is held anew each time, so that a server may restart between two statements.
    """
    program = Program(_DOCTOR)
    reply = GREETING
    for statement in statements:
        reply = program.reply(statement)
    return reply
