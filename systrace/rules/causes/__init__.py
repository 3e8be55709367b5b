"""The rules: one file a family, found by walking this folder."""
