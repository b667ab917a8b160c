"""How many streams side by side rest: each until the same moment, few never."""

from __future__ import annotations

import pytest

from hs_notebook.net.pace import FOR_PROGRAM, FOR_SCREEN, Haste, Pace, Rests


def pace(streams: int) -> Pace:
    made = Pace()
    made.streams = streams
    return made


@pytest.mark.parametrize(("haste", "few"), [(FOR_PROGRAM, (0, 1, 2, 10)), (FOR_SCREEN, (0, 1))])
def test_few_streams_are_read_at_once(haste: Haste, few: tuple[int, ...]) -> None:
    assert [pace(streams).rest(12.3456, haste) for streams in few] == [0.0] * len(few)


@pytest.mark.parametrize(
    ("haste", "streams", "longest"),
    [
        (FOR_PROGRAM, 11, 0.0005),
        (FOR_PROGRAM, 20, 0.005),
        (FOR_PROGRAM, 60, 0.025),
        (FOR_PROGRAM, 100, 0.03),
        (FOR_SCREEN, 2, 0.0033),
        (FOR_SCREEN, 10, 0.0297),
        (FOR_SCREEN, 100, 0.03),
    ],
)
def test_all_rest_until_the_same_moment(haste: Haste, streams: int, longest: float) -> None:
    shared = pace(streams)
    begun = 100 * longest
    moments = [begun + part * longest for part in (0.01, 0.2, 0.5, 0.99)]
    assert [moment + shared.rest(moment, haste) for moment in moments] == pytest.approx([begun + longest] * 4)


LATE, SOON = 0.005, 0.0001  # seconds that a read takes
LITTLE, MUCH = 200, 20_000  # bytes that it brings


@pytest.mark.parametrize(
    ("reads", "rested"),
    [
        (
            [(LATE, LITTLE)] * 11,
            "11110111101",
        ),  # the fifth read may have waited for the others
        ([(SOON, LITTLE)] * 5, "00000"),
        (
            [(LATE, LITTLE), *[(SOON, LITTLE)] * 9],
            "1111000000",
        ),  # in small pieces
        ([(LATE, LITTLE), (SOON, MUCH), (SOON, LITTLE)], "100"),
        ([(LATE, LITTLE), (LATE, MUCH), (LATE, LITTLE)], "101"),
    ],
)
def test_a_stream_rests_where_it_has_caught_up(reads: list[tuple[float, int]], rested: str) -> None:
    rests = Rests(pace(100))
    found = [rests.after(took, brought, 12.3456, FOR_PROGRAM) > 0 for took, brought in reads]
    assert "".join(str(int(one)) for one in found) == rested


def test_who_is_nearly_alone_never_rests() -> None:
    rests = Rests(pace(10))
    assert [rests.after(LATE, LITTLE, 12.3456, FOR_PROGRAM) for _ in range(9)] == [0.0] * 9
