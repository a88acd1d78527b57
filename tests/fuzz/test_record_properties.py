"""The durable record (rules E5, E6, L): what is written is understood, and what became of it never for more.

A disk may keep any mixture of what was there and what was to be there; what must hold is that no mixture is
taken for a privilege that nobody wrote.
"""

from __future__ import annotations

from fuzz_targets import hook_file, record
from hypothesis import given
from hypothesis import strategies as st
from property_settings import examples

from had.runtime.record import EPOCH, MARK, MAX_EPOCH, Record, Wish, encode, understand

epochs = st.integers(0, MAX_EPOCH)
boots = st.sampled_from(["", "b1", "11111111-2222-3333-4444-555555555555", "checksum ", "epoch 9"])
MISSING = FileNotFoundError(2, "No such file or directory")


@examples(100)
@given(epochs, epochs, boots, boots)
def test_what_is_written_is_understood(one, other, boot, now):
    mark, epoch = sorted((one, other))
    files = encode(Wish(EPOCH, epoch), boot), encode(Wish(MARK, mark), boot)
    assert understand("/r", *files, now) == Record(epoch, mark, bool(boot) and boot == now)
    assert understand("/r", files[0], MISSING, now) == Record(epoch)


@examples(40)
@given(epochs, epochs, boots)
def test_no_part_of_it_and_no_other_bit_is_believed(one, other, boot):
    mark, epoch = sorted((one, other))
    files = encode(Wish(EPOCH, epoch), boot), encode(Wish(MARK, mark), boot)
    for number, file in enumerate(files):
        parts = [file[:end] for end in range(len(file))] + [file[begin:] for begin in range(1, len(file))]
        flips = [
            file[:place] + bytes([file[place] ^ 1 << bit]) + file[place + 1 :]
            for place in range(len(file))
            for bit in range(8)
        ]
        for bad in (*parts, *flips, file * 2, bytes(len(file)), b"\xff" * len(file)):
            found = understand("/r", *((bad, files[1]) if number == 0 else (files[0], bad)), boot)
            assert found.mark_epoch is None, bad
            assert not found.mark_same_boot
            assert found.epoch == (mark if number == 0 else epoch)
            assert len(found.complaints) == (2 if number == 0 else 1)


@examples(60)
@given(epochs, epochs, st.integers(0, 200), boots)
def test_the_beginning_of_one_with_the_end_of_another_is_one_of_them_or_nothing(old, new, at, boot):
    """An overwritten file, half of it on the disk; the lengths may differ."""
    for file in (EPOCH, MARK):
        before, after = encode(Wish(file, old), boot), encode(Wish(file, new), boot)
        mixed = after[:at] + before[at:]
        whole = encode(Wish(EPOCH, MAX_EPOCH), boot)
        found = understand("/r", *((mixed, MISSING) if file == EPOCH else (whole, mixed)), boot)
        said = found.epoch if file == EPOCH else found.mark_epoch
        assert said in ((old, new) if mixed in (before, after) else (0, None)), mixed


@examples(60)
@given(epochs, epochs, boots)
def test_an_old_epoch_beside_a_newer_mark_gives_no_privilege_and_does_not_go_back(one, other, boot):
    epoch, mark = sorted((one, other))
    found = understand("/r", encode(Wish(EPOCH, epoch), boot), encode(Wish(MARK, mark), boot), boot)
    assert found.epoch == mark
    assert (found.mark_epoch is None) is (mark > epoch)


@examples(150)
@given(st.integers(0, 3), st.binary(max_size=120), st.binary(max_size=120))
def test_any_two_files_are_a_record(kind, first, second):
    for title in (b"", b"had-record 1\n", b"had-record 1\nepoch 7\n"):
        head = title + first
        record(bytes([kind, 1]) + len(head).to_bytes(2, "big") + head + title + second)


numbers = st.one_of(
    st.integers(-3, 2**70).map(str), st.sampled_from(["", " 1", "1_0", "0x1", "1e3", "٣", "9" * 4000])
)
hook_lines = st.tuples(st.sampled_from(["run", "pid", "started", "boot", "failed", "other"]), numbers)


@examples(150)
@given(st.lists(hook_lines.map(" ".join), max_size=8), st.sampled_from(["\n", "\r\n", "\n\n", "\x1c"]))
def test_any_lines_are_a_hook_file_or_not(lines, end):
    hook_file(b"\1" + end.join(lines).encode())


@examples(60)
@given(st.lists(st.binary(max_size=40), max_size=4))
def test_any_bytes_are_a_hook_file_or_not(parts):
    hook_file(b"\0" + b"\n".join(parts))
    hook_file(b"\1run 1\npid 2\nstarted 3\nboot x\n" + b"\n".join(parts))
