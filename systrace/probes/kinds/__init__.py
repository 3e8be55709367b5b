"""The probes, one a file; found by walking this package."""
