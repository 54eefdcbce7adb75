"""Secrets are found by value and by shape, in any pieces; and nothing else is touched."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autopilot.system.redact import Redactor
from autopilot.system.secret_shapes import LONGEST, SHAPES
from tests.campaign import FULL, record

SECRET = 'hunter2/+&? ü"long'
KEY_BODY = "\n".join(base64.b64encode(bytes(range(48))).decode() for _ in range(25))
PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n"
    f"{KEY_BODY}\n-----END RSA PRIVATE KEY-----"
)
MANY_LINES = "first line of it\nsecond line of it\nthe end"
REDACTOR = Redactor({"APP_SECRET": SECRET, "DEPLOY_KEY": MANY_LINES, "SHORT": "abc"})

SHAPED = {
    "anthropic-key": ["sk-ant-api03-" + "aB3_-" * 8],
    "api-key": ["sk-proj-" + "a1B2" * 8, "sk-" + "z9" * 12],
    "github-token": ["ghp_" + "a1" * 18, "ghs_" + "Z9" * 20, "github_pat_" + "11AA" * 8],
    "gitlab-token": ["glpat-" + "x-Y_" * 6],
    "aws-key-id": ["AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE"],
    "google-key": ["AIza" + "aB-_1" * 7],
    "slack-token": ["xoxb-1234567890-abcdef"],
    "npm-token": ["npm_" + "a1B2" * 9],
    "pypi-token": ["pypi-" + "AgEIcHlwaS5vcmc" * 4],
    "huggingface-token": ["hf_" + "aB1" * 11],
    "bitwarden-token": ["bws_" + "a1b2-c3".replace("-", "") * 5],
    "jwt": ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_123", "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."],
}
ALL_SHAPED = [(name, value) for name, values in SHAPED.items() for value in values]
SURROUNDINGS = ["{}", "key={} and more", '"{}",', "({})", "\x1b[32m{}\x1b[0m", "\x1b[1;31m{}", "a\n{}\nb", "é{}"]


def marker(name, value):
    return f"[redacted:{name}:{hashlib.sha256(value.encode()).hexdigest()[:8]}]"


def in_pieces(redactor, data, cuts):
    stream = redactor.stream()
    edges = [0, *sorted(cuts), len(data)]
    out = [stream.feed(data[a:b]) for a, b in itertools.pairwise(edges)]
    return b"".join([*out, stream.close()])


def test_exact_values_are_named():
    assert REDACTOR.text(f"<{SECRET}>") == f"<{marker('APP_SECRET', SECRET)}>"


@pytest.mark.parametrize(
    "form",
    [
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        re.sub("%..", lambda byte: byte[0].lower(), quote(SECRET, safe="")),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("="),
        *(base64.b64encode(f"{'u' * n}:{SECRET}".encode()).decode() for n in (3, 4, 5)),
        *(base64.b64encode(f"{SECRET}{'x' * n}".encode()).decode() for n in (1, 2, 3)),
    ],
)
def test_other_forms_of_a_value_are_found(form):
    redacted = REDACTOR.text(f"see {form}!")
    assert "[redacted:APP_SECRET:" in redacted
    core = form.strip("=")[6:-6]
    assert core not in redacted


def test_the_longest_value_wins():
    redactor = Redactor({"INNER": "password1", "OUTER": "password1-and-more"})
    assert redactor.text("password1-and-more password1") == (
        f"{marker('OUTER', 'password1-and-more')} {marker('INNER', 'password1')}"
    )


def test_values_that_overlap_leave_nothing_behind():
    redactor = Redactor({"LEFT": "abcdefgh1234", "RIGHT": "1234ijklmnop"})
    redacted = redactor.text("x abcdefgh1234ijklmnop y")
    assert redacted == f"x {marker('LEFT', 'abcdefgh1234')} y"


def test_short_values_and_no_values():
    assert REDACTOR.text("abc abc") == "abc abc"
    assert Redactor().text("nothing here") == "nothing here"


@pytest.mark.parametrize("around", SURROUNDINGS)
@pytest.mark.parametrize(("name", "value"), ALL_SHAPED)
def test_shapes_are_found_wherever_they_stand(name, value, around):
    assert Redactor().text(around.format(value)) == around.format(marker(name, value))


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer abc.def~+/=-123", "Bearer abc.def~+/=-123"),
        ('> authorization: Digest username="me", response="0123"', 'Digest username="me", response="0123"'),
        ("X-API-Key: 0123456789", "0123456789"),
        ("Set-Cookie: session=abc; HttpOnly", "session=abc; HttpOnly"),
        ("  Proxy-Authorization: Basic dTpw", "Basic dTpw"),
        ('{"headers": {"x-api-key": "0123456789", "accept": "*/*"}}', "0123456789"),
        ("{'Authorization': 'token 0123456789'}", "token 0123456789"),
        ('{\\"authorization\\": \\"token 0123456789\\", \\"a\\": 1}', "token 0123456789"),
        ("curl -H 'Authorization: token 0123456789' http://x", "token 0123456789"),
        ("authorization=token-0123456789", "token-0123456789"),
        ("sent bearer  AbC.dEf~+/=-123 to it", "AbC.dEf~+/=-123"),
        ("git clone https://jane:s3cr3t-p4ss@example.org/x", "s3cr3t-p4ss"),
        ("postgresql://app:p:a$s@db:5432/app", "p:a$s"),
    ],
)
def test_headers_and_urls_lose_just_their_secret(text, secret):
    redacted = Redactor().text(text)
    before, after = text.split(secret)
    assert redacted.startswith(f"{before}[redacted:") and redacted.endswith(f"]{after}")
    assert secret not in redacted


def test_a_token_for_a_user_name_goes_too():
    token = "ghp_" + "a1" * 18
    redacted = Redactor().text(f"https://{token}:x-oauth-basic@example.org/")
    assert token not in redacted and "x-oauth-basic" not in redacted
    assert redacted.startswith("https://[redacted:github-token:")


@pytest.mark.parametrize(
    "text",
    [
        "COMPASS_DIR=/opt/compass BYPASS_CACHE=certainly",
        "task-list-of-things-to-do-today-please",
        "the disk-usage-report-of-last-week.txt risk-assessment-for-the-board",
        "https://example.org:8080/path?a=b@c",
        "key: value, monkey: banana, tokenizer: fast",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
        "eyJhbGciOiJIUzI1NiJ9 alone",
        "AKIA is a prefix, AKIAIOSFODNN7EXAMPLEX is too long",
        "def authorization(self): return None",
        '{"authorization": null, "cookie": None}',
        "ghp_tooshort sk-short hf_short npm_short",
        "a bearer of news",
    ],
)
def test_what_is_no_secret_stays(text):
    assert Redactor({"SOME_KEY": "completely different"}).text(text) == text


def test_texts_are_hidden_at_any_depth_and_all_else_stays():
    redactor = Redactor({"API_TOKEN": "abcdefgh12345678"})
    value = {"a": ["abcdefgh12345678", 1, None], "b": ("x", {"c": "abcdefgh12345678"}), "d": True}
    hidden = redactor.values(value)
    assert "abcdefgh" not in str(hidden)
    assert hidden["a"][1:] == [1, None]
    assert (hidden["b"][0], hidden["d"]) == ("x", True)


def test_redacted_text_stays_as_it_is():
    text = f"Authorization: Bearer {'a1' * 20}\ncookie: {SECRET}\n{PEM}\nhttps://u:{'p' * 9}@h/ bearer {'b' * 9}"
    once = REDACTOR.text(text)
    assert REDACTOR.text(once) == once


def test_private_keys_go_whole():
    redacted = Redactor().text(f"before\n{PEM}\nafter")
    assert redacted == f"before\n{marker('private-key', PEM)}\nafter"
    as_json = json.dumps({"key": PEM})
    assert Redactor().text(as_json).count("[redacted:private-key:") == 1
    assert KEY_BODY.split("\n")[3] not in Redactor().text(as_json)


def test_a_private_key_without_an_end_does_not_eat_the_log():
    text = "-----BEGIN PRIVATE KEY-----\n" + "A" * 3 * LONGEST + "THE REST"
    redacted = Redactor().text(text)
    assert redacted.endswith("THE REST")
    assert len(redacted) > LONGEST


def test_text_that_is_no_utf8_and_lone_surrogates():
    assert REDACTOR.text(f"\udc80{SECRET}") == f"\udc80{marker('APP_SECRET', SECRET)}"
    data = b"\xff\xfe " + SECRET.encode() + b" \x80"
    assert in_pieces(REDACTOR, data, []) == b"\xff\xfe " + marker("APP_SECRET", SECRET).encode() + b" \x80"


LOG = "\n".join(
    [
        "start of a log",
        f"using {SECRET} here, and again {SECRET}{SECRET}",
        f"key {MANY_LINES} ends",
        PEM,
        "Authorization: Bearer abc.def~+/=-123",
        *(value for _, value in ALL_SHAPED),
        "x" * 300,
        f"https://jane:{SECRET.replace('/', '').replace(' ', '')}@example.org/",
        "unfinished first line of it",
        "the last line without an end",
    ]
).encode()
SHORT_LOG = "\n".join(
    [f"using {SECRET} and {SECRET}{SECRET}", MANY_LINES, PEM[:400], *(values[0] for values in SHAPED.values())]
).encode()
WHOLE = in_pieces(REDACTOR, LOG, [])


def test_a_stream_in_one_piece_is_like_the_text():
    assert WHOLE.decode() == REDACTOR.text(LOG.decode())
    assert SECRET.encode() not in WHOLE and b"second line of it" not in WHOLE


@given(st.lists(st.integers(0, len(LOG)), max_size=12))
@settings(deadline=None)
def test_a_stream_may_be_cut_anywhere(cuts):
    assert in_pieces(REDACTOR, LOG, cuts) == WHOLE


def test_a_stream_may_be_cut_at_each_byte():
    """At all places, one by one; the full run has the long log, and two cuts close to each other as well."""
    log = LOG if FULL else SHORT_LOG
    whole = in_pieces(REDACTOR, log, [])
    for cut in range(len(log) + 1):
        assert in_pieces(REDACTOR, log, [cut]) == whole, cut
        if FULL:
            assert in_pieces(REDACTOR, log, [cut, cut + 3]) == whole, cut
    record("3.3", "cuts of a redacted stream", places=len(log) + 1)


def test_a_stream_byte_by_byte():
    short = LOG[-1500:]
    assert in_pieces(REDACTOR, short, range(1, len(short))) == in_pieces(REDACTOR, short, [])


@pytest.mark.parametrize("size", [7, 1000, LONGEST - 1, LONGEST, 50_000])
def test_a_stream_without_newlines(size):
    token = "sk-ant-api03-" + "aB3_-" * 8
    data = f"{'-' * size} {token} {'-' * size}".encode()
    for step in (1, 4096) if size < 2000 else (4096,):
        assert in_pieces(Redactor(), data, range(step, len(data), step)) == data.replace(
            token.encode(), marker("anthropic-key", token).encode()
        )


def test_whole_lines_are_passed_on_at_once():
    stream = REDACTOR.stream()
    assert stream.feed(b"one line\nhalf a ") == b"one line\n"
    assert stream.consumed == 9
    assert stream.feed(b"line\n") == b"half a line\n"
    assert stream.feed(b"the end") == b""
    assert stream.close() == b"the end"
    assert stream.consumed == len(b"one line\nhalf a line\nthe end")


@pytest.mark.parametrize("opening", ["-----BEGIN EC PRIVATE KEY-----", "first line of it"])
def test_what_may_become_a_secret_of_many_lines_is_held_back(opening):
    stream = REDACTOR.stream()
    assert stream.feed(f"before\n{opening}\nsecond".encode()) == b"before\n"
    assert stream.feed(b"x" * 4000 + b"\n" + b"y" * 20000 + b"\n") != b""


def test_bytes_consumed_are_those_of_the_input():
    stream = REDACTOR.stream()
    done = stream.feed(f"{SECRET}\n".encode())
    assert stream.consumed == len(SECRET.encode()) + 1
    assert done == marker("APP_SECRET", SECRET).encode() + b"\n"


def test_a_tail_hides_what_begins_before_it():
    data = f"xx{SECRET}yy".encode()
    assert REDACTOR.tail(data, 6) == marker("APP_SECRET", SECRET).encode() + b"yy"
    assert REDACTOR.tail(data, 2) == marker("APP_SECRET", SECRET).encode() + b"yy"
    assert REDACTOR.tail(data, len(data) - 1) == b"y"
    assert REDACTOR.tail(b"plain", 2) == b"ain"


def test_every_shape_is_bounded_and_anchored():
    for shape in SHAPES:
        assert shape.anchors and all(shape.anchors)
        for anchor in shape.anchors:
            longest = anchor + b"a" * 3 * LONGEST
            for match in shape.pattern.finditer(longest):
                assert match.end() - match.start() <= LONGEST


HOSTILE = [
    b"eyJ",
    b"eyJaaaaa.",
    b"sk-",
    b"://",
    b"://a:b",
    b"bearer ",
    b"cookie: ",
    b"cookie:ab'",
    b"authorization",
]
HOSTILE += [
    b"-----BEGIN PRIVATE KEY-----",
    b"-----BEGIN ",
    b"-",
    b"\x00",
    b"a",
    b"ghp_",
    b"first line of it\n",
    b"\n",
]


def cost(unit, size):
    """CPU seconds for a stream of ``size`` bytes, in chunks and then once more as one piece."""
    data = unit * (size // len(unit))
    began = time.process_time()
    stream = REDACTOR.stream()
    for at in range(0, len(data), 65536):
        stream.feed(data[at : at + 65536])
    stream.close()
    REDACTOR.tail(data, 0)
    return time.process_time() - began


@pytest.mark.parametrize("unit", HOSTILE)
def test_time_is_linear_in_hostile_text(unit):
    """Four times the text costs about four times as much, and not sixteen times."""
    small = min(cost(unit, 1 << 16) for _ in range(4))
    large = min(cost(unit, 1 << 18) for _ in range(4))
    assert large < 8 * small + 0.005
