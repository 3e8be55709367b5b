"""One file per wire protocol, found by walking this package."""
