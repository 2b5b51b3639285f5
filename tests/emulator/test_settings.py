"""The settings."""

import pytest

from emulator.bms.settings import LIMITS, SettingError, SettingKey, Settings
from emulator.reading.state import as_json, from_json

from .banks import ONE_48V, make_bms

FIVE = [key for key in SettingKey if key is not SettingKey.PRE_ALARM_CELL_VOLTAGE]


@pytest.mark.parametrize(("system_voltage", "charged_voltage"), [(12, 14.0), (24, 28.0), (48, 56.0)])
def test_m_s2_defaults(system_voltage: int, charged_voltage: float) -> None:
    settings = Settings.defaults(system_voltage)
    assert settings.charged_voltage == charged_voltage
    assert settings.tail_current == 4
    assert settings.charged_detection_time == 3


def test_m_s5_m_s6_default_levels() -> None:
    settings = Settings.defaults(12)
    assert (settings.low_soc_warning, settings.discharge_floor) == (15, 10)


def test_m_v6_m_o6_there_are_five_settings_and_the_level_of_the_pre_alarm() -> None:
    assert {key.value for key in SettingKey} == {
        "charged_voltage",
        "tail_current",
        "charged_detection_time",
        "low_soc_warning",
        "discharge_floor",
        "pre_alarm_cell_voltage",
    }
    assert set(LIMITS) == set(SettingKey)


@pytest.mark.parametrize("key", SettingKey)
def test_m_v6_a_setting_takes_its_limits_and_nothing_beyond(key: SettingKey) -> None:
    settings, limits = Settings.defaults(12), LIMITS[key]
    for value in (limits.minimum, limits.maximum):
        assert settings.changed(key, value).get(key) == value
    for value in (limits.minimum - limits.step, limits.maximum + limits.step, float("nan")):
        with pytest.raises(SettingError, match=key.replace("_", " ")):
            settings.changed(key, value)


def test_m_v6_changing_one_setting_leaves_the_others() -> None:
    before = Settings.defaults(12)
    after = before.changed(SettingKey.TAIL_CURRENT, 2.5)
    assert [key for key in SettingKey if before.get(key) != after.get(key)] == [SettingKey.TAIL_CURRENT]


def test_m_x1_reset_restores_exactly_the_five_settings() -> None:
    bms = make_bms(ONE_48V, soc=60)
    defaults = bms.save()
    for key, value in zip(FIVE, (52.0, 2.0, 10.0, 30.0, 20.0), strict=True):
        bms.change_setting(key, value)
    assert all(bms.settings.get(key) != Settings.defaults(48).get(key) for key in FIVE)
    bms.restore_defaults()
    assert bms.settings == Settings.defaults(48)
    assert bms.save() == defaults


def test_m_x1_m_o6_reset_keeps_the_level_of_the_pre_alarm() -> None:
    bms = make_bms()
    bms.change_setting(SettingKey.PRE_ALARM_CELL_VOLTAGE, 3.0)
    bms.restore_defaults()
    assert bms.settings.pre_alarm_cell_voltage == 3.0


def test_m_o6_default_level_of_the_pre_alarm() -> None:
    assert Settings.defaults(12).pre_alarm_cell_voltage == 2.9


def test_m_x1_reset_keeps_history_mode_and_state_of_charge() -> None:
    bms = make_bms(soc=60)
    bms.step(current=-20, ambient=20, seconds=600)
    bms.synchronize()
    bms.set_mode(False)
    before = bms.save()
    bms.restore_defaults()
    assert bms.save() == before
    assert bms.history.synchronizations == 1


def test_settings_survive_saving() -> None:
    settings = Settings.defaults(24).changed(SettingKey.DISCHARGE_FLOOR, 0)
    assert from_json(Settings, as_json(settings)) == settings
