"""A look at live processes: its nouns, and its lines in a recording. `kernel` takes it, `rules.look` judges it."""
