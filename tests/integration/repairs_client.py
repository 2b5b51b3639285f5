"""Repairs as the user interface does them."""

from http import HTTPStatus
from typing import Any, Final

from aiohttp import ClientResponse
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from homeassistant.setup import async_setup_component
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.smallbms_ng.const import DOMAIN
from custom_components.smallbms_ng.issues import HELP_TO_CONFIRM

FLOWS: Final = "/api/repairs/issues/fix"


def issues(hass: HomeAssistant) -> dict[str, ir.IssueEntry]:
    """Return what is to be put right, by the key of its words; that an owner is asked for help is no such thing."""
    found = (issue for issue in ir.async_get(hass).issues.values() if issue.domain == DOMAIN and issue.active)
    return {str(issue.translation_key): issue for issue in found if issue.translation_key != HELP_TO_CONFIRM}


class Repair:
    """One repair that is under way; answer is what it shows, and progress what it showed while it was opened."""

    def __init__(self, hass: HomeAssistant, hass_client: ClientSessionGenerator) -> None:
        self._hass = hass
        self._hass_client = hass_client
        self.answer: Any = None
        self.progress: str | None = None

    async def begin(self, key: str) -> None:
        """Open the repair of an issue, by its own key or that of its words."""
        assert await async_setup_component(self._hass, "repairs", {})
        [issue_id] = [
            issue.issue_id
            for words, issue in issues(self._hass).items()
            if key in {words, issue.issue_id.partition(".")[0]}
        ]
        await self._post(FLOWS, {"handler": DOMAIN, "issue_id": issue_id})
        self.progress = self.answer.get("progress_action")
        while self.answer["type"] == "progress":
            await self._hass.async_block_till_done(wait_background_tasks=True)
            await self._take(await (await self._hass_client()).get(f"{FLOWS}/{self.answer['flow_id']}"))

    async def submit(self, **entered: float) -> None:
        """Submit the form that is shown."""
        assert self.answer["type"] == "form"
        await self._post(f"{FLOWS}/{self.answer['flow_id']}", entered)

    async def _post(self, path: str, data: dict[str, Any]) -> None:
        client = await self._hass_client()
        await self._take(await client.post(path, json=data))

    async def _take(self, response: ClientResponse) -> None:
        assert response.status == HTTPStatus.OK, await response.text()
        self.answer = await response.json()
        await self._hass.async_block_till_done()
