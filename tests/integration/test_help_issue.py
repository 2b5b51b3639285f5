"""The repair that asks an owner, once, to help to confirm the device."""

from datetime import timedelta

from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from homeassistant.util.dt import utcnow
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.smallbms_ng.const import DOMAIN
from custom_components.smallbms_ng.issues import HELP_TO_CONFIRM, USED_FOR

from .conftest import Radio, make_entry


def issue_of(hass: HomeAssistant, entry: MockConfigEntry) -> ir.IssueEntry | None:
    """Return the issue of an entry."""
    return ir.async_get(hass).async_get_issue(DOMAIN, f"{HELP_TO_CONFIRM}.{entry.entry_id}")


@pytest.fixture
def entry(hass: HomeAssistant) -> MockConfigEntry:
    """Return an entry that is not set up yet."""
    entry = make_entry()
    entry.add_to_hass(hass)
    return entry


def used_for(entry: MockConfigEntry, duration: timedelta) -> None:
    """Let the entry have been there for so long."""
    object.__setattr__(entry, "created_at", utcnow() - duration)


async def set_up(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    await radio.send()
    assert await hass.config_entries.async_setup(entry.entry_id)
    await radio.settle()


async def test_not_in_the_first_three_days(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    used_for(entry, USED_FOR - timedelta(hours=2))
    await set_up(hass, radio, entry)
    assert issue_of(hass, entry) is None
    for _ in range(2):
        await radio.send()
        await radio.jump(timedelta(minutes=61))
        await radio.send()
    await radio.jump(timedelta(minutes=61))
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_after_three_days(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    used_for(entry, USED_FOR)
    await set_up(hass, radio, entry)
    assert await hass.config_entries.async_reload(entry.entry_id)
    await radio.send()
    assert await hass.config_entries.async_reload(entry.entry_id)
    issue = issue_of(hass, entry)
    assert issue
    assert (issue.is_fixable, issue.translation_placeholders) == (False, {"name": entry.title})
    assert issue.learn_more_url
    assert issue.learn_more_url.endswith("docs/first-owner.md")
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_ignored_for_ever(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    used_for(entry, USED_FOR)
    await set_up(hass, radio, entry)
    assert await hass.config_entries.async_reload(entry.entry_id)
    ir.async_ignore_issue(hass, DOMAIN, f"{HELP_TO_CONFIRM}.{entry.entry_id}", True)
    for _ in range(2):
        assert await hass.config_entries.async_reload(entry.entry_id)
        await radio.send()
    issue = issue_of(hass, entry)
    assert issue
    assert issue.dismissed_version
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_a_device_that_was_never_heard_is_not_asked_for(
    hass: HomeAssistant, radio: Radio, entry: MockConfigEntry
) -> None:
    used_for(entry, timedelta(days=30))
    assert await hass.config_entries.async_setup(entry.entry_id)
    await radio.settle()
    assert issue_of(hass, entry) is None
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_a_removed_device_takes_it_along(hass: HomeAssistant, radio: Radio, entry: MockConfigEntry) -> None:
    used_for(entry, USED_FOR)
    await set_up(hass, radio, entry)
    assert await hass.config_entries.async_reload(entry.entry_id)
    assert issue_of(hass, entry)
    assert await hass.config_entries.async_remove(entry.entry_id)
    assert issue_of(hass, entry) is None
