"""Says what broke: tries the rules in order of trust."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from octopus_plugins.events import Categorization, Failure
from octopus_plugins.wrath.rules.default import DEFAULT_RULES
from octopus_plugins.wrath.rules.rule import Match, Rule, Scalar, Trust, chain, names, quote
from octopus_plugins.wrath.rules.statements import spoken
from octopus_plugins.wrath.rules.traceback_text import exceptions_in_text, is_opaque
from octopus_plugins.wrath.taxonomy.categories import Category

if TYPE_CHECKING:
    from octopus_plugins.wrath.history.history import History

OnError = Callable[[Rule, Exception], None]

TEXT_CONFIDENCE = 0.8
"""Factor for what was read from text and not from the exception itself."""

# What a rule is sorted by: less trust, deeper cause, more general type, later in the list.
_Rank = tuple[int, int, int, int]


class _RuleBook:
    """Rules by the types they name, so that a failure meets only those that can match."""

    __slots__ = ("_known", "by_type", "rules", "untyped")

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules  # kept alive, so that its id stays its own
        self.by_type: dict[str, list[tuple[int, Rule]]] = {}
        self.untyped: list[tuple[_Rank, Rule]] = []
        self._known: dict[tuple[tuple[str, ...], ...], tuple[list[tuple[_Rank, Rule]], int]] = {}
        for position, rule in enumerate(rules):
            for name in rule.types:
                self.by_type.setdefault(name, []).append((position, rule))
            if not rule.types:
                self.untyped.append(((-rule.trust, 0, 0, position), rule))

    def ranked(self, failure: Failure) -> tuple[list[tuple[_Rank, Rule]], int]:
        """The rules to try, most trusted first, and how many of them come before words. By types alone: kept."""
        types = tuple(map(names, chain(failure))) if failure.causes else (names(failure.exception),)
        known = self._known.get(types)
        if known is None:
            found = list(self.untyped)
            for depth, of_one in enumerate(types):
                for index, name in enumerate(of_one):
                    for position, rule in self.by_type.get(name, ()):
                        found.append(((-rule.trust, depth, index, position), rule))
            found.sort(key=_rank)
            known = found, sum(1 for rank, _ in found if -rank[0] > Trust.text)
            if len(self._known) >= _MAX_CHAINS:
                self._known.clear()
            self._known[types] = known
        return known


def _rank(entry: tuple[_Rank, Rule]) -> _Rank:
    return entry[0]


_books: dict[int, _RuleBook] = {}
_MAX_BOOKS = 8
_MAX_CHAINS = 1_000
"""Chains of exception types whose rules are kept in their order; a run has a handful."""


def _book(rules: Sequence[Rule]) -> _RuleBook:
    if not isinstance(rules, tuple):
        return _RuleBook(rules)  # a list may have changed since it was last seen
    book = _books.get(id(rules))
    if book is None:
        if len(_books) >= _MAX_BOOKS:
            _books.clear()
        book = _books[id(rules)] = _RuleBook(rules)
    return book


def categorize(
    failure: Failure,
    history: History | None = None,
    rules: Sequence[Rule] = DEFAULT_RULES,
    *,
    on_error: OnError | None = None,
) -> Categorization:
    """Say what broke, and on what evidence.

    Args:
        failure: The failed try. A categorization that it already has is not looked at.
        history: What happened before, where known.
        rules: The rules to try; of equal rules the first wins, so rules of one's own go before `DEFAULT_RULES`.
        on_error: Told of each rule that raised. The rule is skipped.

    Returns:
        The finding of the first rule that matched, by trust; category ``unknown`` when none did. Never raises.
    """
    return _Attempt(failure, history, _book(rules), on_error).run()


class _Attempt:
    """One failure on its way through the rules."""

    __slots__ = ("_book", "_failure", "_history", "_on_error", "_text")

    def __init__(self, failure: Failure, history: History | None, book: _RuleBook, on_error: OnError | None) -> None:
        self._failure = failure
        self._history = history
        self._book = book
        self._on_error = on_error
        self._text: str | None = None

    def run(self) -> Categorization:
        ranked, firm = self._book.ranked(self._failure)
        return (
            self._first(ranked[:firm])
            or self._from_text()
            or self._first(ranked[firm:])
            or Categorization(
                layer=Category.unknown.layer.value,
                category=Category.unknown.value,
                reason=f"no rule knows {quote(self._failure.exception)}",
                evidence={"exception": self._failure.exception.type},
            )
        )

    def _first(self, ranked: list[tuple[_Rank, Rule]]) -> Categorization | None:
        for (_, depth, _, _), rule in ranked:
            if rule.words and not self._has_words(rule.words):
                continue
            found = self._try(rule, self._below(depth) if depth else self._failure)
            if found is not None:
                return found
        return None

    def _has_words(self, words: tuple[str, ...]) -> bool:
        if self._text is None:
            self._text = spoken(self._failure).lowered
        said = self._text
        for word in words:  # noqa: SIM110 - a generator takes twice the time, and most failures meet them all
            if word in said:
                return True
        return False

    def _below(self, depth: int) -> Failure:
        causes = self._failure.causes
        return replace(self._failure, exception=causes[depth - 1], causes=causes[depth:])

    def _try(self, rule: Rule, failure: Failure, read_from_text: str | None = None) -> Categorization | None:
        try:
            match = rule.match(failure, self._history)
            return None if match is None else _categorization(rule, match, failure, read_from_text)
        except Exception as error:  # noqa: BLE001
            # The border to rules of plugins: one that raises, or finds what is no finding, is reported and skipped.
            if self._on_error is not None:
                self._on_error(rule, error)
            return None

    def _from_text(self) -> Categorization | None:
        infos = exceptions_in_text(self._failure)
        if not infos:
            return None
        # A program's traceback is a guess at why it ended; what an opaque exception quotes is the exception itself.
        least = Trust.symptom if is_opaque(self._failure) else Trust.exact_type
        whole = replace(self._failure, exception=infos[0], causes=infos[1:])
        for (distrust, depth, _, _), rule in self._book.ranked(whole)[0]:
            if not rule.types or rule.words or -distrust < least:
                continue
            view = whole if depth == 0 else replace(whole, exception=infos[depth], causes=infos[depth + 1 :])
            found = self._try(rule, view, infos[depth].type)
            if found is not None:
                return found
        return None


def _categorization(rule: Rule, match: Match, failure: Failure, read_from_text: str | None) -> Categorization:
    category, confidence = match.category or rule.category, match.confidence
    evidence: dict[str, Scalar] = {name: value for name, value in match.evidence.items() if value is not None}
    if not evidence:
        evidence["exception"] = failure.exception.type
    if read_from_text is not None:
        confidence *= TEXT_CONFIDENCE
        evidence["read_from_text"] = read_from_text
    return Categorization(
        layer=category.layer.value,
        category=category.value,
        scope=match.scope or category.scope,
        resolvable=match.resolvable or category.resolvable,
        confidence=round(confidence, 3),
        rule=rule.name,
        reason=match.reason.rstrip(" ."),
        evidence=evidence,
    )
