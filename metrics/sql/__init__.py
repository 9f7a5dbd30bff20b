"""Definitions compiled to SQL: from one canonical form, as a tree, to the text that an engine runs."""
