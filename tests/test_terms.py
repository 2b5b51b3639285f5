"""Every language calls a thing by one name throughout: the field's terms, and Home Assistant's own words."""

from collections.abc import Iterator, Mapping
from functools import cache
import json
from pathlib import Path
import re
from typing import Final

import hass_frontend
import pytest

from .sources import ENGLISH, Words, languages, part, texts

LANGUAGES: Final = languages()
WORDS: Final = LANGUAGES[ENGLISH]

# What each thing is called: a pattern, since words take endings, and are put together in some languages.
TERMS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "allowed_to_charge": r"\ballowed to charge",
        "allowed_to_discharge": "allowed to discharge",
        "balancer_status": "balancer status",
        "capacity": "capacity",
        "charged_voltage": "charged voltage",
        "discharge_floor": "discharge floor",
        "encryption_key": "encryption key",
        "instant_readout": "Instant readout",
        "integrations": "Settings, Devices & services",
        "loads": r"\bloads\b",
        "low_bank_voltage": "low bank voltage",
        "low_cell_voltage": "low cell voltage",
        "low_soc_warning": "low state of charge warning",
        "pin": r"\bPIN\b",
        "pre_alarm": "pre-alarm",
        "reconfigure": "Reconfigure",
        "repairs": "Repairs",
        "residual_current": "residual current",
        "state_of_charge": "state of charge",
        "tail_current": "tail current",
    },
    "de": {
        "allowed_to_charge": r"\bLaden erlaubt",
        "allowed_to_discharge": "Entladen erlaubt",
        "balancer_status": "Balancer-Status",
        "capacity": "Kapazität",
        "charged_voltage": "Spannung geladen",
        "discharge_floor": "Entladeuntergrenze",
        "encryption_key": "Schlüssel",
        "instant_readout": "Instant Readout",
        "integrations": "Einstellungen, Geräte & Dienste",
        "loads": "Verbraucher",
        "low_bank_voltage": r"niedrige\w* Spannung der Batteriebank",
        "low_cell_voltage": r"niedrige\w* Zellspannung",
        "low_soc_warning": "Warnung bei niedrigem Ladezustand",
        "pin": "PIN",
        "pre_alarm": "Voralarm",
        "reconfigure": "Neu konfigurieren",
        "repairs": "Reparaturen",
        "residual_current": "Reststrom",
        "state_of_charge": "Ladezustand",
        "tail_current": "Schweifstrom",
    },
    "es": {
        "allowed_to_charge": r"\bcarga permitida",
        "allowed_to_discharge": "descarga permitida",
        "balancer_status": "estado del equilibrador",
        "capacity": "capacidad",
        "charged_voltage": "tensión de batería cargada",
        "discharge_floor": "límite de descarga",
        "encryption_key": "clave de cifrado",
        "instant_readout": "lectura instantánea",
        "integrations": "Configuración, Dispositivos y servicios",
        "loads": r"\bcargas\b",
        "low_bank_voltage": "baja tensión de la bancada",
        "low_cell_voltage": "baja tensión de celda",
        "low_soc_warning": "advertencia de bajo estado de carga",
        "pin": "PIN",
        "pre_alarm": "prealarma",
        "reconfigure": "Reconfigurar",
        "repairs": "Reparaciones",
        "residual_current": "corriente residual",
        "state_of_charge": "estado de carga",
        "tail_current": "corriente de cola",
    },
    "fr": {
        "allowed_to_charge": r"\bcharge autorisée",
        "allowed_to_discharge": "décharge autorisée",
        "balancer_status": "état de l'équilibreur",
        "capacity": "capacité",
        "charged_voltage": "tension chargée",
        "discharge_floor": "plancher de décharge",
        "encryption_key": "clé de chiffrement",
        "instant_readout": "lecture instantanée",
        "integrations": "Paramètres, Appareils et services",
        "loads": "consommateurs",
        "low_bank_voltage": "tension basse du parc de batteries",
        "low_cell_voltage": "tension de cellule basse",
        "low_soc_warning": "avertissement d'état de charge bas",
        "pin": "code PIN",
        "pre_alarm": "préalarme",
        "reconfigure": "Reconfigurer",
        "repairs": "Corrections",
        "residual_current": "courant résiduel",
        "state_of_charge": "état de charge",
        "tail_current": "courant de queue",
    },
    "it": {
        "allowed_to_charge": r"\bcarica consentita",
        "allowed_to_discharge": "scarica consentita",
        "balancer_status": "stato del bilanciatore",
        "capacity": "capacità",
        "charged_voltage": "tensione di batteria carica",
        "discharge_floor": "soglia di scarica",
        "encryption_key": "chiave di crittografia",
        "instant_readout": "lettura istantanea",
        "integrations": "Impostazioni, Dispositivi e servizi",
        "loads": r"\bcarichi\b",
        "low_bank_voltage": "bassa tensione del banco",
        "low_cell_voltage": "bassa tensione di cella",
        "low_soc_warning": "avviso di basso stato di carica",
        "pin": "PIN",
        "pre_alarm": "preallarme",
        "reconfigure": "Riconfigura",
        "repairs": "Riparazioni",
        "residual_current": "corrente residua",
        "state_of_charge": "stato di carica",
        "tail_current": "corrente di coda",
    },
    "nl": {
        "allowed_to_charge": r"\bladen toegestaan",
        "allowed_to_discharge": "ontladen toegestaan",
        "balancer_status": "balancerstatus",
        "capacity": "capaciteit",
        "charged_voltage": "geladen spanning",
        "discharge_floor": "ontlaadlimiet",
        "encryption_key": "encryptiesleutel",
        "instant_readout": "Instant readout",
        "integrations": "Instellingen, Apparaten en diensten",
        "loads": "verbruikers",
        "low_bank_voltage": "lage spanning accubank",
        "low_cell_voltage": "lage celspanning",
        "low_soc_warning": "waarschuwing lage laadstatus",
        "pin": "pincode",
        "pre_alarm": "vooralarm",
        "reconfigure": "Herconfigureer",
        "repairs": "Reparaties",
        "residual_current": "reststroom",
        "state_of_charge": "laadstatus",
        "tail_current": "staartstroom",
    },
}

# Where Home Assistant's user interface has the words that ours lead to.
FRONTEND: Final = {
    "integrations": ("panel.config", "ui.panel.config.dashboard.devices.main"),
    "reconfigure": ("ui.panel.config.integrations.config_entry.reconfigure",),
    "repairs": ("ui.panel.config.repairs.caption",),
}

every_language = pytest.mark.parametrize("language", TERMS)
every_concept = pytest.mark.parametrize("concept", TERMS[ENGLISH])


def _says(text: str, term: str) -> bool:
    return re.search(term, text, re.IGNORECASE) is not None


def _paths(words: Words, term: str) -> set[tuple[str, ...]]:
    """Return the keys of the texts that have a term."""
    return {path for path, text in texts(words) if _says(text, term)}


@cache
def _frontend(language: str) -> Mapping[str, str]:
    """Return the words of Home Assistant's user interface, those of its settings included."""
    folder = Path(hass_frontend.where()) / "static" / "translations"
    name = re.compile(rf"{language}-[0-9a-f]{{32}}\.json")
    files = [path for path in folder.rglob("*.json") if path.parent.name in {"translations", "config"}]
    found = [json.loads(path.read_text(encoding="utf-8")) for path in files if name.fullmatch(path.name)]
    return {key: text for words in found for key, text in words.items()}


def _settings() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Return the settings that a repair asks for, with the keys that lead to what it calls them there."""
    for path, _ in texts(part(WORDS, "issues"), "issues"):
        *_, kind, field = path
        if kind == "data" and field in part(WORDS, "entity", "number"):
            yield field, path[:-1]


def test_every_language_has_its_terms() -> None:
    """And every row has a word for every concept."""
    assert TERMS.keys() == LANGUAGES.keys()
    assert all(row.keys() == TERMS[ENGLISH].keys() for row in TERMS.values())


@every_concept
def test_term_is_used(concept: str) -> None:
    """A term that English has no more would leave nothing to compare."""
    assert _paths(WORDS, TERMS[ENGLISH][concept])


@every_concept
@every_language
def test_term_is_the_same_throughout(language: str, concept: str) -> None:
    wanted = _paths(WORDS, TERMS[ENGLISH][concept])

    assert wanted <= _paths(LANGUAGES[language], TERMS[language][concept])


@pytest.mark.parametrize("concept", FRONTEND)
@every_language
def test_word_is_that_of_home_assistant(language: str, concept: str) -> None:
    assert TERMS[language][concept] == ", ".join(_frontend(language)[key] for key in FRONTEND[concept])


@pytest.mark.parametrize(("setting", "place"), _settings())
@every_language
def test_repair_calls_a_setting_by_its_name(language: str, setting: str, place: tuple[str, ...]) -> None:
    words = LANGUAGES[language]

    assert part(words, *place)[setting] == part(words, "entity", "number", setting)["name"]


@pytest.mark.parametrize("setting", part(WORDS, "entity", "number"))
@every_language
def test_error_calls_a_setting_by_its_name(language: str, setting: str) -> None:
    """To set the state of charge is to set what the sensor shows."""
    words = LANGUAGES[language]
    place = ("sensor", "battery_level") if setting == "state_of_charge" else ("number", setting)
    message = str(part(words, "exceptions", f"invalid_{setting}")["message"])

    assert str(part(words, "entity", *place)["name"]) in message


def test_repairs_ask_for_settings() -> None:
    assert {setting for setting, _ in _settings()} == {"discharge_floor", "low_soc_warning"}
