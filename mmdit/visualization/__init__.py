"""Pictures of what was asked, what is true and what was answered."""
