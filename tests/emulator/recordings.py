"""Diagnostics downloads made by hand: a short recording, and what a test changes about it."""

from collections.abc import Mapping
import json

type Json = bool | int | float | str | list[Json] | dict[str, Json] | None


def frame(direction: str, operation: str, characteristic: str, content: str, at: float = 0.1) -> dict[str, Json]:
    """Return one frame; its content as hex."""
    return {
        "at": at,
        "direction": direction,
        "operation": operation,
        "characteristic": characteristic,
        "bytes": content,
    }


def advertisement(
    content: str, outcome: str = "believed", *, decrypted: bool = True, at: float = 1.0
) -> dict[str, Json]:
    """Return one advertisement; its content as hex."""
    return {
        "at": at,
        "radio": "radio 1",
        "signal": -61,
        "bytes": content,
        "decrypted": decrypted,
        "outcome": outcome,
    }


def connection(*frames: Json, kind: str = "proxy", at: float = 2.0, **more: Json) -> dict[str, Json]:
    """Return one connection."""
    return {
        "at": at,
        "radio": "radio 2",
        "kind": kind,
        "mtu": 247,
        "ended": "closed",
        "errors": [],
        "frames": list(frames),
        "dropped_frames": 0,
        **more,
    }


def survey(*answers: Json) -> dict[str, Json]:
    """Return a survey."""
    return {"at": 5.0, "finished": True, "duration": 3.0, "answers": list(answers)}


def recording(**changes: Json) -> dict[str, Json]:
    """Return a recording in which nothing was heard, but for what is given."""
    return {
        "format": 1,
        "integration": "1.0.0",
        "home_assistant": "2026.10.4",
        "length": 812.4,
        "advertisements": [],
        "connections": [],
        "survey": None,
        "learned": {},
        **changes,
    }


def download(recorded: Json, domain: str = "smallbms_ng") -> str:
    """Return the text of a diagnostics download, as Home Assistant writes it."""
    everything: Mapping[str, Json] = {
        "home_assistant": {"version": "2026.10.4"},
        "custom_components": {},
        "integration_manifest": {"domain": domain, "version": "1.0.0"},
        "setup_times": {},
        "data": {"recording": recorded},
    }
    return json.dumps(everything, indent=2)
