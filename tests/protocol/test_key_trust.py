"""The key as people paste it."""

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest

from custom_components.smallbms_ng.protocol.advertisement import parse_key

KEY = "aff4d0995b7d1e176c0c33ecb9e70dcd"
PAIRS = [KEY[index : index + 2] for index in range(0, 32, 2)]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(KEY, id="as it is"),
        pytest.param(KEY.upper(), id="capitals"),
        pytest.param(KEY.title(), id="both"),
        pytest.param(f"  {KEY}\t\r\n", id="space around"),
        pytest.param(" ".join(PAIRS), id="spaces"),
        pytest.param(":".join(PAIRS), id="colons"),
        pytest.param("-".join(PAIRS), id="dashes"),
        pytest.param(": ".join(PAIRS), id="colons and spaces"),
        pytest.param(f"{KEY[:16]}\n{KEY[16:]}", id="two lines"),
        pytest.param(" ".join(KEY), id="a space after each digit"),
        pytest.param(f"{KEY[:5]} {KEY[5:]}", id="a space within a byte"),
        pytest.param(f"{KEY}\N{NO-BREAK SPACE}", id="no-break space"),
        pytest.param("\N{NO-BREAK SPACE}".join(PAIRS), id="no-break spaces"),
        pytest.param("\N{ZERO WIDTH SPACE}".join(PAIRS), id="zero-width spaces"),
        pytest.param(f"\N{ZERO WIDTH NO-BREAK SPACE}{KEY}", id="byte order mark"),
        pytest.param("\N{IDEOGRAPHIC SPACE}".join(PAIRS), id="ideographic spaces"),
        pytest.param("\N{NARROW NO-BREAK SPACE}".join(PAIRS), id="narrow no-break spaces"),
    ],
)
def test_a_key_however_it_was_copied(text: str) -> None:
    assert parse_key(text) == bytes.fromhex(KEY)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("   ", id="blank"),
        pytest.param(":-:", id="separators only"),
        pytest.param(KEY[:30], id="30 digits"),
        pytest.param(KEY[:31], id="31 digits"),
        pytest.param(KEY + "0", id="33 digits"),
        pytest.param(KEY + "00", id="34 digits"),
        pytest.param(KEY + KEY, id="64 digits"),
        pytest.param("0x" + KEY, id="prefix"),
        pytest.param("g" + KEY[1:], id="no hexadecimal digit"),
        pytest.param(KEY[:-1] + "\N{FULLWIDTH DIGIT ZERO}", id="a full-width digit"),
        pytest.param("\N{FULLWIDTH DIGIT ONE}" * 32, id="full-width digits"),
        pytest.param("\N{ARABIC-INDIC DIGIT ONE}" * 32, id="Arabic-Indic digits"),
        pytest.param("\N{MATHEMATICAL DOUBLE-STRUCK DIGIT ONE}" * 32, id="double-struck digits"),
        pytest.param("\N{BATTERY}" * 32, id="emoji"),
        pytest.param(KEY[:-1] + "\N{BATTERY}", id="31 digits and an emoji"),
        pytest.param(KEY + "\N{BATTERY}", id="32 digits and an emoji"),
        pytest.param(KEY[:-1] + "\0", id="a null character"),
        pytest.param(KEY[:-1] + "\ud800", id="half of a surrogate pair"),
        pytest.param(KEY[:-1] + "é", id="an accent"),
        pytest.param(KEY.replace("d", "\N{CYRILLIC SMALL LETTER A}"), id="a look-alike"),
        pytest.param("-" + KEY[1:], id="a sign instead of a digit"),
        pytest.param(KEY[:16] + "_" + KEY[16:], id="an underscore"),
        pytest.param("Encryption data: " + KEY, id="words"),
    ],
)
def test_text_that_is_no_key(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of Python itself or of ours, the caller shows neither
        parse_key(text)


@given(st.binary(min_size=16, max_size=16), st.sampled_from(["", " ", ":", "-", "\N{NO-BREAK SPACE}", " : "]))
@settings(deadline=None)
def test_any_key_is_read_back(key: bytes, separator: str) -> None:
    assert parse_key(separator.join(f"{byte:02X}" for byte in key)) == key


@given(st.text() | st.text("0123456789abcdefABCDEF :-\N{FULLWIDTH DIGIT TWO}\N{BATTERY}", min_size=28, max_size=40))
@settings(deadline=None, max_examples=300)
def test_any_text_is_sixteen_bytes_or_a_value_error(text: str) -> None:
    try:
        key = parse_key(text)
    except ValueError:
        return
    assert len(key) == 16
    assert key.hex() == "".join(character for character in text.lower() if character in "0123456789abcdef")
