"""How many streams side by side rest: each until the same moment, up to ten never."""

from __future__ import annotations

import pytest

from hs_notebook.net.pace import Pace


def pace(streams: int) -> Pace:
    made = Pace()
    made.streams = streams
    return made


def test_up_to_ten_streams_are_read_at_once() -> None:
    assert [pace(streams).rest(12.3456) for streams in (0, 1, 2, 10)] == [0.0] * 4


@pytest.mark.parametrize(("streams", "longest"), [(11, 0.0005), (20, 0.005), (60, 0.025), (100, 0.03)])
def test_all_rest_until_the_same_moment(streams: int, longest: float) -> None:
    shared = pace(streams)
    begun = 100 * longest
    moments = [begun + part * longest for part in (0.01, 0.2, 0.5, 0.99)]
    assert [moment + shared.rest(moment) for moment in moments] == pytest.approx([begun + longest] * 4)
