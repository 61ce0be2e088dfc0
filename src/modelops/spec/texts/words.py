"""Words of people's files: yes and no, and the names of months, in the languages of Europe that files come in."""

from __future__ import annotations

import re

__all__ = ["MONTH_NAMES", "NO", "PAIRS", "YES", "month_of"]

_TRUTHS = (
    *(("true", "false"), ("yes", "no"), ("t", "f"), ("y", "n"), ("1", "0"), ("on", "off")),
    *(("ja", "nein"), ("j", "n"), ("wahr", "falsch")),
    *(("oui", "non"), ("o", "n"), ("vrai", "faux")),
    *(("sí", "no"), ("si", "no"), ("sì", "no"), ("s", "n"), ("verdadero", "falso"), ("vero", "falso"), ("v", "f")),
    *(("sim", "não"), ("sim", "nao"), ("verdadeiro", "falso")),
    *(("ja", "nee"), ("waar", "onwaar"), ("ja", "nej"), ("ja", "nei"), ("sant", "falskt"), ("sand", "falsk")),
    *(("tak", "nie"), ("prawda", "fałsz"), ("ano", "ne"), ("áno", "nie"), ("pravda", "nepravda")),
    *(("da", "ne"), ("da", "nu"), ("igen", "nem"), ("kyllä", "ei"), ("jah", "ei"), ("evet", "hayır")),
    *(("да", "нет"), ("ναι", "όχι")),
)
PAIRS: tuple[frozenset[str], ...] = tuple(map(frozenset, _TRUTHS))
"""The two words of a language for true and false, in small letters."""
YES = frozenset(yes for yes, _ in _TRUTHS)
NO = frozenset(no for _, no in _TRUTHS)

MONTH_NAMES: tuple[frozenset[str], ...] = tuple(
    frozenset(names.split())
    for names in (
        (
            "jan january januar jänner janv janvier ene enero gen gennaio janeiro januari sty styczeń stycznia led "
            "leden ledna"
        ),
        (
            "feb february februar febr févr fevr fév février fevrier febrero febbraio fev fevereiro februari lut luty "
            "lutego úno únor února"
        ),
        "mar march mär mrz märz maerz mars marzo março marco maart mrt marts marzec marca bře březen března",
        "apr april avr avril abr abril aprile kwi kwiecień kwietnia dub duben dubna",
        "may mai mayo mag maggio maio mei maj maja kvě květen května",
        "jun june juni juin junio giu giugno junho cze czerwiec czerwca čvn červen června",
        "jul july juli juil juillet julio lug luglio julho lip lipiec lipca čvc červenec července",
        "aug august août aout ago agosto augustus augusti sie sierpień sierpnia srp srpen srpna",
        "sep sept september septembre septiembre set settembre setembro wrz wrzesień września zář září",
        (
            "oct october okt oktober octobre octubre ott ottobre out outubro paź paz październik października říj "
            "říjen října"
        ),
        "nov november novembre noviembre novembro lis listopad listopada",
        (
            "dec december dez dezember déc décembre decembre dic diciembre dicembre dezembro desember des gru "
            "grudzień grudnia pro prosinec prosince"
        ),
    )
)
"""Names and short names of each month in English, German, French, Spanish, Italian, Portuguese, Dutch, Danish,
Norwegian, Swedish, Polish and Czech; none means two months.
"""
_MONTHS = {name: number for number, names in enumerate(MONTH_NAMES, start=1) for name in names}


def month_of(word: str) -> int | None:
    """Return the number of a month by a name of it, in any case and with or without the point of a short name.

    >>> month_of("Sept."), month_of("AOÛT"), month_of("Foo")
    (9, 8, None)
    """
    return _MONTHS.get(re.sub(r"\.$", "", word).lower())
