"""What recordings say of each assumption: made by hand, one piece of evidence each."""

from pathlib import Path
from typing import Final

import pytest

from custom_components.smallbms_ng.diagnostics import what_was_learned
from custom_components.smallbms_ng.protocol.learned import Learned
from emulator.__main__ import main
from emulator.comparison.assumptions import ASSUMPTIONS, compare
from emulator.comparison.findings import Verdict
from emulator.recording import parse_recording

from .recordings import Json, advertisement, connection, download, frame, recording, survey

VOLTAGE_ONLY: Final = "1002eca30a010000" + "00ffff3005ff7f00000000c0ffffffff"
FULL: Final = "1002eca30a020000" + "0040388b0afaff951555148ccf0200ff"
NO_CHARGE: Final = "1002eca30a030000" + "0040388b0afaff95155514fccf0200ff"
BEACON: Final = "1000eca3"


def heard(*contents: str, outcome: str = "believed", **more: Json) -> dict[str, Json]:
    """Return a recording in which these were heard, a second apart."""
    return recording(
        advertisements=[
            {**advertisement(content, outcome, at=number), **more} for number, content in enumerate(contents)
        ]
    )


def talked(*said: str, ended: str = "closed") -> dict[str, Json]:
    """Return a recording of a connection: > for what the central wrote, < for what came; * for Control."""
    frames: list[Json] = []
    for number, text in enumerate(said):
        direction, operation = ("out", "write") if text[0] == ">" else ("in", "notify")
        characteristic = "control" if "*" in text else "last_data"
        frames.append(frame(direction, operation, characteristic, text.strip("<>*"), at=number / 10))
    return recording(connections=[connection(*frames, ended=ended)])


def answered(*answers: tuple[str, str]) -> dict[str, Json]:
    """Return a recording of a survey: registers of instance 0 with their values, or codes as `code N`."""
    rows: list[Json] = []
    for register, said in answers:
        row: dict[str, Json] = {"instance": 0, "register": register}
        code = said.removeprefix("code ")
        rows.append({**row, "code": int(code)} if code != said else {**row, "value": said})
    return recording(survey=survey(*rows))


def verdicts(recorded: Json) -> dict[str, Verdict]:
    """Return the verdict on every assumption."""
    return {one.assumption.id: one.verdict for one in compare(parse_recording(download(recorded), "x.json"))}


BANK: Final = "08001903804404040202"
READ_KEY: Final = "05008119ec65"
KEY: Final = "080019ec6550" + "00" * 16

EVIDENCE: Final = (
    # id, what confirms it, what contradicts it
    ("advertisement-kind", heard(FULL), heard(FULL, BEACON)),
    ("record-type", heard(FULL), heard("1002eca30b020000" + "00" * 16, outcome="other_record", decrypted=False)),
    ("record-length", heard(FULL), heard(FULL + "ffff")),
    ("product-id", heard(BEACON), heard("1000eda3")),
    ("encryption", heard(FULL), None),
    ("nonce", heard(VOLTAGE_ONLY, FULL), heard(FULL, VOLTAGE_ONLY)),
    ("bounds", heard(FULL), heard(FULL, outcome="implausible")),
    ("readout-off", None, heard(BEACON, services=["306b0001-b081-4037-83dc-e59fcc3cdfd0"])),
    ("state-of-charge-in-record", heard(NO_CHARGE, FULL), heard(NO_CHARGE)),
    ("current-in-record", heard(NO_CHARGE), heard(VOLTAGE_ONLY)),
    ("temperature-in-record", heard(FULL[:-2] + "be"), heard(VOLTAGE_ONLY)),
    ("permissions-in-record", heard(FULL), heard(VOLTAGE_ONLY)),
    ("alarms-in-record", heard(FULL), heard(VOLTAGE_ONLY)),
    ("errors", answered(("0x2101", "0b")), answered(("0x2101", "2c"))),
    (
        "remote",
        {**heard(FULL[:32] + "59" + FULL[34:]), "survey": answered(("0x0207", "08000000"))["survey"]},
        {**heard(FULL), "survey": answered(("0x0207", "08000000"))["survey"]},
    ),
    ("bond", None, None),
    ("notifications", talked("<*f901"), talked("<*f901", "<")),
    ("chunk-sizes", talked(">*fa80ff", "<*f901"), talked(">*fa80ff", ended="lost")),
    ("credit", talked("<*f901"), talked("<080019020041" + "03")),
    ("list-form", talked("<029f0000ff"), talked("<02820000")),
    ("instance-0", talked("<029f0000ff"), talked("<029f0300ff")),
    ("batteries", talked("<029f00000100020003000400ff", "<" + BANK), talked("<029f0000ff", "<" + BANK)),
    ("subscribe", talked("<07000300"), talked("<07000302")),
    (
        "arrays",
        talked(">050081190200", "<08001902004103"),
        talked(">050081190200", "<*f701", ">05009f190200ff", "<08001902004103"),
    ),
    (
        "first-read",
        talked(">050081190200", "<08001902004103"),
        talked(">050081190200", ">050081190200", "<08001902004103"),
    ),
    ("key-opcode", talked(">" + READ_KEY, "<" + KEY), talked(">" + READ_KEY, "<090019ec6502")),
    (
        "acknowledgment",
        talked(">0600821902004104", ">050081190200", "<08001902004104"),
        talked(">0600821902004104", "<090019020000"),
    ),
    (
        "writable",
        talked(">0600821902004104", ">050081190200", "<08001902004104"),
        talked(">0600821902004104", "<090019020003"),
    ),
    ("battery-registers", talked("<080119ed8d42b809"), talked("<090119ed8d01")),
    ("refusal-code", answered(("0x0201", "code 2")), answered(("0x0201", "code 1"))),
    ("nine-levels", answered(("0x2107", "55550100")), answered(("0x2107", "55550900"))),
    (
        "pre-alarm",
        answered(("0x2107", "56550100"), ("0x2100", "00000008")),
        answered(("0x2107", "55550100"), ("0x2100", "00000008")),
    ),
    ("cell-unit", answered(("0x0385", "4a014d01")), answered(("0x0385", "e40c010d"))),
    ("history-unit", answered(("0x0306", "fc040000")), answered(("0x0306", "de670000"))),
    ("register-0x0200", answered(("0x0200", "03")), answered(("0x0200", "code 2"))),
    ("register-0x0fff", talked("<0800190fff42b80b"), talked("<0800190fff41b8")),
    ("register-0x102c", talked(">06008219102c40", "<0900191" + "02c00"), talked(">06008219102c40", "<090019102c01")),
    ("register-0x0093", None, talked(">060082189342983a", "<090018" + "9301")),
)


@pytest.mark.parametrize(("name", "confirms", "contradicts"), EVIDENCE, ids=[name for name, *_ in EVIDENCE])
def test_evidence(name: str, confirms: Json, contradicts: Json) -> None:
    assert verdicts(recording())[name] is Verdict.NOT_SEEN
    if confirms is not None:
        assert verdicts(confirms)[name] is Verdict.CONFIRMED
    if contradicts is not None:
        assert verdicts(contradicts)[name] is Verdict.CONTRADICTED


def test_every_check_is_tried() -> None:
    tried = {name for name, *_ in EVIDENCE}
    checked = {row.id for row in ASSUMPTIONS.values() if row.check is not None and not row.id.startswith("register")}
    assert checked - tried == {"control"}


def test_control_is_read() -> None:
    for content, verdict in {"00010001501400": Verdict.CONFIRMED, "000100": Verdict.CONTRADICTED}.items():
        read = recording(connections=[connection(frame("in", "read", "control", content))])
        assert verdicts(read)["control"] is verdict


def test_a_missing_bond_is_seen_by_its_error() -> None:
    failed = {**frame("out", "read", "control", ""), "error": "Insufficient Authentication (5)"}
    assert verdicts(recording(connections=[connection(failed)]))["bond"] is Verdict.CONFIRMED


def test_a_register_that_answers_once_is_there() -> None:
    refused_first = talked("<090019ec6502", "<" + KEY)
    assert verdicts(refused_first)["register-0xec65"] is Verdict.CONFIRMED


def test_a_battery_has_no_key() -> None:
    assert verdicts(talked("<029f00000100ff", ">05018119ec65", "<090119ec6502"))["key-opcode"] is Verdict.NOT_SEEN


def test_a_register_that_cannot_be_written_is_there() -> None:
    assert verdicts(talked(">0600821902004104", "<090019020003"))["register-0x0200"] is Verdict.NOT_SEEN
    assert verdicts(talked(">050081190200", "<090019020003"))["register-0x0200"] is Verdict.CONTRADICTED


def test_a_register_that_may_answer_later_is_not_missing() -> None:
    assert verdicts(answered(("0x0200", f"code {0x8200}")))["register-0x0200"] is Verdict.NOT_SEEN


@pytest.mark.parametrize(
    ("name", "learned"),
    [
        ("arrays", {"array_form": "indefinite"}),
        ("chunk-sizes", {"chunk_sizes": False}),
        ("notifications", {"acquire_notifications": True}),
        ("key-opcode", {"flagged_key_request": True}),
    ],
)
def test_what_was_learned_over_an_earlier_connection_counts(name: str, learned: dict[str, Json]) -> None:
    assert verdicts(recording(learned=learned))[name] is Verdict.CONTRADICTED


def test_what_the_integration_learns_by_default_says_nothing() -> None:
    nothing = what_was_learned(Learned())
    assert set(verdicts(recording(learned=nothing)).values()) == {Verdict.NOT_SEEN}
    assert nothing.keys() >= {"array_form", "chunk_sizes", "acquire_notifications", "flagged_key_request"}


def test_silence_proves_nothing() -> None:
    silent = recording(survey=survey({"instance": 0, "register": "0x0200", "silent": True}))
    assert set(verdicts(silent).values()) == {Verdict.NOT_SEEN}
    assert verdicts(talked(">*fa80ff"))["chunk-sizes"] is Verdict.NOT_SEEN
    assert verdicts(talked(">050081190200"))["arrays"] is Verdict.NOT_SEEN


def test_chunks_are_joined_and_a_false_start_is_thrown_away() -> None:
    frames: list[Json] = [
        frame("in", "notify", "data", "08001902", at=0.1),
        frame("in", "notify", "control", "f8", at=0.2),
        frame("in", "notify", "data", "080019", at=0.3),
        frame("in", "notify", "last_data", "02004103", at=0.4),
    ]
    assert verdicts(recording(connections=[connection(*frames)]))["register-0x0200"] is Verdict.CONFIRMED


def test_what_cannot_be_read_is_let_be() -> None:
    """Frames in the middle of a long connection may have been left out."""
    assert verdicts(talked("<0800190200", ">0500", "<ff", "<08001902004103"))["register-0x0200"] is Verdict.CONFIRMED


def test_the_report_names_the_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "download.json"
    file.write_text(download(talked(">0600821902004104", "<090019020003")), encoding="utf-8")
    assert main(["--compare", str(file)]) == 0
    out, err = capsys.readouterr()
    assert "Contradicted:\n" in out
    assert (
        "  writable: Mode, settings and actions can be written. (published)\n"
        "      090019020003 (connection 1, 0.100 s)\n" in out
    )
    assert "Not seen:\n" in out
    assert f"{len(ASSUMPTIONS)} assumptions: 2 contradicted, 1 confirmed, " in out
    assert err == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (download(recording())[:200], "cut off"),
        (download(recording(), "met"), "another integration, met"),
        (download(recording(format=7)), "format 7"),
        (download(recording(length="long")), "changed by hand"),
    ],
)
def test_a_file_that_is_none_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    file = tmp_path / "download.json"
    file.write_text(text, encoding="utf-8")
    assert main(["--compare", str(file)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1
