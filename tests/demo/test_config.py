"""The configuration folder, the demo's own folder, ports."""

import json
from pathlib import Path
import socket
import zipfile

import pytest

from demo.config import write_config, write_http
from demo.errors import DemoError
from demo.folder import own_folder, temporary_folder
from demo.ports import check_free, free_port


def http(folder: Path) -> tuple[list[str], int]:
    stable = json.loads((folder / ".storage" / "http").read_text())["data"]["stable"]
    return stable["server_host"], stable["server_port"]


def test_it_listens_on_loopback_only(tmp_path: Path) -> None:
    write_config(tmp_path / "config", port=4321)
    assert http(tmp_path / "config") == (["127.0.0.1"], 4321)
    write_http(tmp_path / "config", port=4322)
    assert http(tmp_path / "config") == (["127.0.0.1"], 4322)


def test_it_has_the_integration(tmp_path: Path) -> None:
    write_config(tmp_path, port=4321)
    assert (tmp_path / "custom_components" / "smallbms_ng" / "manifest.json").exists()


def test_it_has_the_integration_of_a_release(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "release.zip", "w") as release:
        release.writestr("manifest.json", "{}")
    write_config(tmp_path / "config", port=4321, integration=tmp_path / "release.zip")
    assert (tmp_path / "config" / "custom_components" / "smallbms_ng" / "manifest.json").read_text() == "{}"


@pytest.mark.parametrize("content", [None, b"PK"])
def test_a_zip_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    zip_file = tmp_path / "release.zip"
    if content is not None:
        zip_file.write_bytes(content)
    with pytest.raises(DemoError, match=r"release\.zip is not the zip of a release: "):
        write_config(tmp_path / "config", port=4321, integration=zip_file)


def test_it_has_the_blueprints(tmp_path: Path) -> None:
    write_config(tmp_path, port=4321)
    assert (tmp_path / "blueprints" / "automation" / "smallbms_ng" / "notify.yaml").exists()


def test_a_visitor_may_make_automations(tmp_path: Path) -> None:
    write_config(tmp_path, port=4321)
    assert "\nautomation: !include automations.yaml\n" in (tmp_path / "configuration.yaml").read_text()
    assert (tmp_path / "automations.yaml").exists()


def test_only_one_demo_a_folder(tmp_path: Path) -> None:
    with own_folder(tmp_path / "new") as folder, pytest.raises(DemoError, match="Another demo is running in"):
        own_folder(folder).__enter__()
    with own_folder(folder):
        pass


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DemoError, match=r"The demo cannot work in .*\."):
        own_folder(tmp_path / "file").__enter__()


def test_a_temporary_folder_goes_away() -> None:
    with temporary_folder() as folder:
        (folder / "something").touch()
    assert not folder.exists()


@pytest.mark.usefixtures("socket_enabled")
def test_ports() -> None:
    port = free_port()
    check_free(port)
    with socket.create_server(("127.0.0.1", port)), pytest.raises(DemoError, match=f"^Port {port} is in use"):
        check_free(port)
    check_free(port)
