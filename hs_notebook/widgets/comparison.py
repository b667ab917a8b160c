"""The live view of answers side by side. Its code travels with that of the view of one answer."""

from __future__ import annotations

import traitlets

from hs_notebook.widgets.stream import StreamView


class ComparisonView(StreamView):
    """`columns` holds `stream_id` and `model` of each answer; `stream_id` names all of them together."""

    columns = traitlets.List(traitlets.Dict()).tag(sync=True)
