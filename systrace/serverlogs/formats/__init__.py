"""One file per kind of access log, found by walking this package."""
