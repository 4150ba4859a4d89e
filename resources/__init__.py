"""Files that ship with Espalier: demo weights, icons."""
