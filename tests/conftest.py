"""Tests see what users with a UTF-8 locale see, whatever the machine's own is."""

from __future__ import annotations

import os

os.environ["LC_ALL"] = "C.UTF-8"
