"""The old wire format, on datagrams captured from the reference daemon (COMPAT §2 and §4)."""

from __future__ import annotations

import json
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from had.core.states import State
from had.wire import freeha
from had.wire.freeha import Heartbeat, Rejected, decode, encode, node_name

VECTORS = json.loads((pathlib.Path(__file__).parents[1] / "data" / "vectors.json").read_text())
SENT_STATES = [State(number) for number in range(1, 7)]
NAME_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
names = st.text(alphabet=NAME_ALPHABET, min_size=1, max_size=32)


def whole(vector: dict) -> bytes:
    """A captured datagram; of long ones the file has the beginning, the rest being zeros."""
    return bytes.fromhex(vector["hex"]).ljust(vector["bytes"], b"\0")


def good_sent():
    """What the reference sent, but for the names that overran its buffer (D17)."""
    return [v for v in VECTORS["sent"] if len(v["node_name"]) <= 32]


@pytest.mark.parametrize("vector", good_sent(), ids=lambda v: f"{v['uname']}-{v['state']}")
def test_packets_of_the_reference_are_understood(vector):
    assert decode(whole(vector)) == Heartbeat(vector["node_name"], State[vector["state"]])


@pytest.mark.parametrize("vector", good_sent(), ids=lambda v: f"{v['uname']}-{v['state']}")
def test_our_packets_equal_the_references_where_it_specifies_them(vector):
    ours, theirs = encode(vector["node_name"], State[vector["state"]]), bytearray(whole(vector))
    if vector["unspecified_bytes"]:
        first, last = vector["unspecified_bytes"]
        theirs[first : last + 1] = bytes(last + 1 - first)
    assert ours == bytes(theirs)


def test_D17_name_that_overran_the_status_is_present_but_of_unknown_state():
    overrun = [v for v in VECTORS["sent"] if len(v["node_name"]) > 32]
    assert overrun
    for vector in overrun:
        heartbeat = decode(whole(vector))
        assert heartbeat == Heartbeat(vector["node_name"][:32], State.UNKNOWN)


# What we do otherwise than the reference did, each on purpose.
DIFFERENT = {
    "ilp32-44": Heartbeat("peer", State.STANDBY),  # a 32-bit sender is heard
    "name-empty": "name",  # D18: improper names get nowhere
    "name-space": "name",
    "name-newline": "name",
    "name-latin": "name",
    "unicast": Heartbeat("peer", State.STANDBY),  # a matter of the sockets, not of the bytes
}
SHOWN = {"Standby": State.STANDBY, "Running": State.RUNNING}


@pytest.mark.parametrize("vector", VECTORS["received"], ids=lambda v: v["case"])
def test_what_the_reference_made_of_packets(vector):
    data, expected = whole(vector), DIFFERENT.get(vector["case"])
    if expected is None and vector["accepted"]:
        lines = [line for line in vector["state_file_after"] if not line.startswith("zz-self ")]
        assert len(lines) == 1
        name, _, rest = lines[0].partition(" [")
        expected = Heartbeat(name, SHOWN.get(rest.partition("]")[0], State.UNKNOWN))
    if isinstance(expected, Heartbeat):
        assert decode(data) == expected
        return
    with pytest.raises(Rejected) as rejected:
        decode(data)
    if expected is None:
        expected = "version" if vector["case"].startswith("version") else "short"
    assert rejected.value.code == expected


@pytest.mark.parametrize("size", range(60))
def test_D16_every_length(size):
    data = encode("peer", State.RUNNING).ljust(60, b"\xff")[:size]
    if size == 44 or size >= 48:
        assert decode(data) == Heartbeat("peer", State.RUNNING)
    else:
        with pytest.raises(Rejected) as rejected:
            decode(data)
        assert rejected.value.code == "short"


@pytest.mark.parametrize("status", [0, 7, 8, 99, 0x01000000, 0xFFFFFFFF])
def test_D28_unknown_status_is_a_present_peer(status):
    data = b"\0\0\0\2" + b"peer".ljust(32, b"\0") + status.to_bytes(4, "big") + bytes(8)
    assert decode(data) == Heartbeat("peer", State.UNKNOWN)


def test_32_byte_name_needs_no_nul():
    assert decode(encode("q" * 32, State.STANDBY)).name == "q" * 32


@pytest.mark.parametrize(
    "name", [b"", b"a b", b"a\n", b"\n", b"a.b", b"\xe9t\xe9", b"\x1b[2J", b"a/../b", b"%n"]
)
def test_D18_improper_name_is_rejected_and_shown_harmlessly(name):
    data = b"\0\0\0\2" + name.ljust(32, b"\0") + b"\0\0\0\5" + bytes(8)
    with pytest.raises(Rejected) as rejected:
        decode(data)
    assert rejected.value.code == "name"
    assert rejected.value.text.isascii()
    assert rejected.value.text.isprintable()


@pytest.mark.parametrize("name", ["", "a.b", "a b", "a\n", "é", "x" * 33, "\0", "٣"])
def test_encode_refuses_improper_names(name):
    with pytest.raises(ValueError, match="node name"):
        encode(name, State.INITIAL)


@pytest.mark.parametrize("state", [State.UNKNOWN, State.TIMEDOUT])
def test_encode_refuses_states_that_are_never_sent(state):
    with pytest.raises(ValueError, match="never sent"):
        encode("a", state)


@given(names, st.sampled_from(SENT_STATES), st.booleans(), st.binary(max_size=100))
def test_round_trip(name, state, short, tail):
    data = encode(name, state, short=short)
    assert len(data) == (44 if short else 48)
    assert decode(data) == Heartbeat(name, state)
    if not short:
        assert decode(data + tail) == Heartbeat(name, state)


@given(
    names,
    st.sampled_from(SENT_STATES),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=8, max_size=8),
)
def test_junk_after_the_nul_and_timestamp_change_nothing(name, state, junk, stamp):
    data = bytearray(encode(name, state))
    start = 4 + len(name) + 1
    data[start:36] = junk[: max(0, 36 - start)]
    data[40:48] = stamp
    assert len(data) == 48
    assert decode(bytes(data)) == Heartbeat(name, state)


def check_any(data):
    try:
        heartbeat = decode(data)
    except Rejected as error:
        rejected = error
    else:
        rejected = None
    if rejected is not None:
        assert rejected.code in freeha.REJECTION_CODES
        assert rejected.text.isascii()
        assert rejected.text.isprintable()
        assert len(rejected.text) < 200
        return
    assert 1 <= len(heartbeat.name) <= 32
    assert set(heartbeat.name) <= set(NAME_ALPHABET)
    assert heartbeat.state is not State.TIMEDOUT
    if heartbeat.state is not State.UNKNOWN:
        assert decode(encode(heartbeat.name, heartbeat.state)) == heartbeat


@given(st.binary(max_size=120))
def test_any_bytes_decode_or_are_rejected(data):
    check_any(data)


@given(st.binary(min_size=44, max_size=60))
def test_any_bytes_with_the_right_version_decode_or_are_rejected(data):
    check_any(b"\0\0\0\2" + data[4:])


@given(names, st.sampled_from(SENT_STATES), st.integers(0, 47), st.integers(0, 255))
def test_one_changed_byte(name, state, place, value):
    data = bytearray(encode(name, state))
    data[place] = value
    check_any(bytes(data))


@pytest.mark.parametrize(
    ("uname", "name"),
    [
        ("web-1_x.example.com", "web-1_x"),
        ("fw1.cluster.test", "fw1"),
        ("node!x", "node"),
        ("9lives", "9lives"),
        ("UP.case", "UP"),
        ("-dash_", "-dash_"),
        (".hidden", ""),
        ("", ""),
        ("événement", ""),
        ("a\n", "a"),
        ("k" * 40, "k" * 40),
        *sorted({(v["uname"], v["node_name"]) for v in VECTORS["sent"]}),
    ],
)
def test_node_name(uname, name):
    assert node_name(uname) == name


@given(st.text())
def test_node_name_is_the_longest_proper_prefix(uname):
    name = node_name(uname)
    assert uname.startswith(name)
    assert set(name) <= set(NAME_ALPHABET)
    assert len(name) == len(uname) or uname[len(name)] not in NAME_ALPHABET


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a b", "'a b'"),
        ("é", r"'\xe9'"),
        ("." * 32, f"'{'.' * 32}'"),
        ("." * 33, f"'{'.' * 32}'..."),
    ],
)
def test_a_refused_name_is_shown_in_ascii_and_cut_to_32_characters(name, shown):
    with pytest.raises(ValueError, match="not a node name") as caught:
        encode(name, State.STANDBY)
    assert str(caught.value) == f"not a node name: {shown}"


def test_what_is_wrong_with_a_datagram_is_said_in_one_sentence():
    rejected = {}
    for data in (b"", b"\xff" * 4 + bytes(44), b"\0\0\0\2" + b"a b".ljust(32, b"\0") + bytes(12)):
        with pytest.raises(Rejected) as caught:
            decode(data)
        rejected[caught.value.code] = str(caught.value)
        assert caught.value.text == str(caught.value)
    assert rejected == {
        "short": "0 bytes where a heartbeat has 48 (or 44)",
        "version": "version 4294967295 where 2 is spoken",
        "name": "improper node name 'a b'",
    }
    assert tuple(rejected) == freeha.REJECTION_CODES
