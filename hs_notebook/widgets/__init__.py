"""anywidget classes: what a page shows while it is live."""
