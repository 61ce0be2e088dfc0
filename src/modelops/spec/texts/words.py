"""Words of people's files: yes and no, and the names of months, in the languages of Europe that files come in."""

from __future__ import annotations

import re

__all__ = ["CURRENCIES", "MONTH_NAMES", "NO", "PAIRS", "WEEKDAY_NAMES", "YES", "month_of", "weekdays_of"]

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
WEEKDAY_NAMES: tuple[frozenset[str], ...] = tuple(
    frozenset(names.split())
    for names in (
        (
            "mon monday mo montag lun lundi lunes lunedì lunedi seg segunda segunda-feira ma maandag man mandag mån "
            "måndag pn pon poniedziałek po pondělí hétfő maanantai"
        ),
        (
            "tue tues tuesday di dienstag mar mardi martes martedì martedi ter terça terça-feira dinsdag ti tir "
            "tirsdag tis tisdag wt wtorek út úterý kedd tiistai"
        ),
        (
            "wed wednesday mi mittwoch mer mercredi mié mie miércoles miercoles mercoledì mercoledi qua quarta "
            "quarta-feira wo woensdag ons onsdag śr środa st středa szerda keskiviikko"
        ),
        (
            "thu thur thurs thursday do donnerstag jeu jeudi jue jueves gio giovedì giovedi qui quinta quinta-feira "
            "donderdag to tor tors torsdag cz czw czwartek čt čtvrtek csütörtök torstai"
        ),
        (
            "fri friday fr freitag ven vendredi vie viernes venerdì venerdi sex sexta sexta-feira vr vrijdag fre "
            "fredag pt piątek pá pátek péntek perjantai"
        ),
        (
            "sat saturday sa samstag sonnabend sam samedi sáb sab sábado sabado sabato za zaterdag lør lørdag lör "
            "lördag so sob sobota szombat lauantai"
        ),
        (
            "sun sunday so sonntag dim dimanche dom domingo domenica zo zondag søn søndag sön söndag nd ndz niedz "
            "niedziela ne neděle vasárnap sunnuntai"
        ),
    )
)
"""Names and short names of each day of the week, Monday first, in the languages of the months, Hungarian and Finnish;
one that means two days is either (so: sobota, Sonntag).
"""


def weekdays_of(word: str) -> frozenset[int]:
    """Return the days of the week that a word names, from 0 for Monday, in any case and with or without its point.

    >>> sorted(weekdays_of("Lun.")), sorted(weekdays_of("So,")), sorted(weekdays_of("Foo"))
    ([0], [5, 6], [])
    """
    name = re.sub(r"[.,]+$", "", word).lower()
    return frozenset(day for day, names in enumerate(WEEKDAY_NAMES) if name in names)


CURRENCIES: tuple[str, ...] = (
    *("US$", "A$", "C$", "R$", "$", "€", "£", "¥", "₹", "₽", "₺", "₩", "₴", "₪", "฿", "₫", "¢"),
    *("EUR", "USD", "GBP", "CHF", "SEK", "NOK", "DKK", "ISK", "PLN", "CZK", "HUF", "RON", "BGN", "JPY", "CNY", "INR"),
    *("AUD", "CAD", "NZD", "BRL", "MXN", "TRY", "ZAR", "KRW", "RUB", "UAH", "ILS", "SGD", "HKD"),
    *("kr.", "kr", "Kr.", "Kr", "Fr.", "SFr.", "zł", "Kč", "Ft", "lei", "TL"),
)
"""How amounts of money are marked; which of them is meant changes no number."""


_MONTHS = {name: number for number, names in enumerate(MONTH_NAMES, start=1) for name in names}


def month_of(word: str) -> int | None:
    """Return the number of a month by a name of it, in any case and with or without the point of a short name.

    >>> month_of("Sept."), month_of("AOÛT"), month_of("Foo")
    (9, 8, None)
    """
    return _MONTHS.get(re.sub(r"\.$", "", word).lower())
