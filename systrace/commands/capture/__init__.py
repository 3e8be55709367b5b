"""The course of `run` and `attach`: here and not in their modules because every start of systrace imports those."""
