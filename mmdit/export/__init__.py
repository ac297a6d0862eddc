"""A trained model as files that run without mmdit's model code."""
