"""CI asks for the same inputs every time, and only as many as it has time for; `python -m tests.fuzz` asks for more."""

import hypothesis

hypothesis.settings.register_profile("fuzz", deadline=None, derandomize=True, max_examples=120, database=None)
