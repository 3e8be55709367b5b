"""Builds the compiled scanner into a wheel where a compiler is; where none is, the wheel is one of Python alone."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUILT = "systrace/_scanner.abi3.so"


class Compiled(BuildHookInterface[Any]):
    """hatchling's hook of the name "custom"."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build; never fail. An editable installation finds it in the sources."""
        script = [sys.executable, str(Path(self.root) / "scripts" / "build_compiled")]
        try:
            built = subprocess.run(script, check=False).returncode == 0
        except OSError:
            built = False
        if built and version != "editable":
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["pure_python"] = False
            build_data["tag"] = f"cp311-abi3-{platform}"
            build_data["artifacts"].append(BUILT)
