"""The cases, by what happens in them; each module has them in ``CASES``."""
