"""One file per report format, found by walking this package."""
