"""What a hostile model may answer: one corpus, as data, for the page, the saved notebook and the terminal."""
