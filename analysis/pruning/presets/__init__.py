"""Published methods as recipes with a name."""
