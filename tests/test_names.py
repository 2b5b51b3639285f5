"""No two names of one device look or mean nearly the same, in any language: owners choose entities by their names."""

from collections.abc import Mapping
from itertools import combinations
import re
from typing import Final
import unicodedata

from homeassistant.const import Platform
from homeassistant.helpers.entity import EntityDescription
import pytest

from custom_components.smallbms_ng.number import NUMBERS
from custom_components.smallbms_ng.sensor import BATTERY_MODEL, BATTERY_SENSORS, CELL, SETTING_SENSORS

from .sources import ENGLISH, entity_name, languages, rows, words_key

# What stands for the same to somebody who skims a list: words, or patterns of them, and what is compared in their
# place. Nothing is compared of what says only how long something has been so.
SAME: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        r"lowest": "low",
        r"highest": "high",
        r"so far|ever|minimum|maximum": "",
        r"energy into battery|charged energy|energy charged": "energy in",
        r"energy out of battery|discharged energy|energy discharged": "energy out",
        r"status|state|error|fault|problem": "condition",
    },
    "de": {
        r"niedrigste\w*|niedrige\w*": "niedrig",
        r"hochste\w*|hohe\w*": "hoch",
        r"bisher\w*|je": "",
        r"energie in die batterie|geladene energie": "energie rein",
        r"energie aus der batterie|entladene energie": "energie raus",
        r"status|zustand|fehler|storung|problem": "befund",
    },
    "es": {
        r"mas bajas?|bajas?|bajos?|minim[ao]": "baja",
        r"mas altas?|altas?|altos?|maxim[ao]": "alta",
        r"registrad[ao]|hasta ahora": "",
        r"energia que entra en la bateria|energia cargada": "energia dentro",
        r"energia que sale de la bateria|energia descargada": "energia fuera",
        r"estado|error|fallo|problema": "condicion",
    },
    "fr": {
        r"(la )?plus bas(se)?|bas(se)?|minimale": "basse",
        r"(la )?plus haute?|haute?|elevee?|maximale": "haute",
        r"atteinte?|jusqu.a present": "",
        r"energie entree dans la batterie|energie chargee": "energie dedans",
        r"energie sortie de la batterie|energie dechargee": "energie dehors",
        r"etat|erreur|defaut|probleme": "condition",
    },
    "it": {
        r"piu bass[ao]|bass[ao]|minim[ao]": "bassa",
        r"piu alt[ao]|alt[ao]|massim[ao]": "alta",
        r"registrat[ao]|finora": "",
        r"energia in entrata nella batteria|energia caricata": "energia dentro",
        r"energia in uscita dalla batteria|energia scaricata": "energia fuori",
        r"stato|errore|guasto|problema": "condizione",
    },
    "nl": {
        r"laagste|lage": "laag",
        r"hoogste|hoge": "hoog",
        r"tot nu toe|ooit": "",
        r"energie in accu|geladen energie": "energie erin",
        r"energie uit accu|ontladen energie": "energie eruit",
        r"status|toestand|fout|storing|probleem": "bevinding",
    },
}
# Articles and prepositions tell nothing apart.
SMALL: Final = re.compile(
    r"\b(?:a|an|the|of|in|is|to|der|die|das|fur|bei|el|la|los|las|de|del|le|les|du|des|di|dell?a?|delle|met|van)\b"
)
OF_BATTERY: Final = frozenset(map(id, (*BATTERY_SENSORS, BATTERY_MODEL, CELL)))

every_language = pytest.mark.parametrize("language", languages())


def normalized(language: str, name: str) -> tuple[str, ...]:
    """Return what is left of a name for somebody who skims it: its words without accents, endings and order."""
    decomposed = unicodedata.normalize("NFD", name.casefold())
    plain = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    for pattern, instead in SAME[language].items():
        plain = re.sub(rf"\b(?:{pattern})\b", instead, plain)
    return tuple(sorted(re.findall(r"\w+", SMALL.sub(" ", plain))))


def near(language: str, names: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the keys of those that are nearly the same."""
    plain = {key: normalized(language, name) for key, name in names.items()}
    return [(one, other) for one, other in combinations(plain, 2) if plain[one] == plain[other]]


def names_of(language: str, *, of_battery: bool) -> dict[str, str]:
    """Return the names on one device by platform and key: of the whole, or of a battery."""

    def named(platform: Platform, row: EntityDescription) -> tuple[str, str]:
        return f"{platform} {words_key(row)}", entity_name(language, platform, row)

    # There is either the number or the sensor of a setting.
    together = ((platform, row) for platform, row in rows() if row not in SETTING_SENSORS)
    return dict(named(platform, row) for platform, row in together if (id(row) in OF_BATTERY) is of_battery)


@every_language
def test_a_setting_has_one_name(language: str) -> None:
    numbers = {row.key: entity_name(language, Platform.NUMBER, row) for row in NUMBERS}
    for row in SETTING_SENSORS:
        assert entity_name(language, Platform.SENSOR, row) == numbers[row.key]


def test_every_language_is_compared() -> None:
    assert SAME.keys() == languages().keys()
    assert names_of(ENGLISH, of_battery=True)


@every_language
@pytest.mark.parametrize("of_battery", [False, True], ids=["device", "battery"])
def test_no_two_names_are_nearly_the_same(language: str, of_battery: bool) -> None:
    assert near(language, names_of(language, of_battery=of_battery)) == []


@pytest.mark.parametrize(
    ("language", "names"),
    [
        ("en", ("Low cell voltage", "Lowest cell voltage", "Lowest cell voltage so far")),
        ("en", ("High battery temperature", "Highest battery temperature so far")),
        ("en", ("Energy into battery", "Charged energy")),
        ("en", ("Energy out of battery", "Discharged energy")),
        ("en", ("Status", "Error", "Problem")),
        ("de", ("Niedrige Zellspannung", "Niedrigste Zellspannung", "Bisher niedrigste Zellspannung")),
        ("de", ("Energie in die Batterie", "Geladene Energie")),
        ("de", ("Status", "Fehler", "Problem")),
        ("es", ("Baja tensión de celda", "Tensión de celda más baja", "Tensión de celda mínima registrada")),
        ("es", ("Energía que entra en la batería", "Energía cargada")),
        ("es", ("Estado", "Error", "Problema")),
        (
            "fr",
            ("Tension de cellule basse", "Tension de cellule la plus basse", "Tension de cellule minimale atteinte"),
        ),
        ("fr", ("Énergie sortie de la batterie", "Énergie déchargée")),
        ("fr", ("État", "Erreur", "Problème")),
        ("it", ("Bassa tensione di cella", "Tensione di cella più bassa", "Tensione di cella minima registrata")),
        ("it", ("Energia in entrata nella batteria", "Energia caricata")),
        ("it", ("Stato", "Errore", "Problema")),
        ("nl", ("Lage celspanning", "Laagste celspanning", "Laagste celspanning tot nu toe")),
        ("nl", ("Energie uit accu", "Ontladen energie")),
        ("nl", ("Status", "Fout", "Probleem")),
    ],
)
def test_near_names_are_noticed(language: str, names: tuple[str, ...]) -> None:
    assert len({normalized(language, name) for name in names}) == 1


@pytest.mark.parametrize(
    "names",
    [
        ("Lowest cell voltage", "Highest cell voltage"),
        ("Allowed to charge", "Allowed to discharge"),
        ("Batteries", "Batteries in series", "Batteries in parallel"),
        ("State of charge", "Set state of charge"),
    ],
)
def test_opposites_and_parts_are_told_apart(names: tuple[str, ...]) -> None:
    assert len({normalized(ENGLISH, name) for name in names}) == len(names)
