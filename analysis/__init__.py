"""Everything Espalier computes: importable and scriptable alone, free of Qt."""
