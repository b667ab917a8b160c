"""How many streams side by side rest: each until the same moment, few never."""

from __future__ import annotations

import pytest

from hs_notebook.net.pace import FOR_PROGRAM, FOR_SCREEN, Haste, Pace


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
