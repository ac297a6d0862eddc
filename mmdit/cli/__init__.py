"""The command ``mmdit``."""
