"""What was found, as text, as JSON and as pages to look at."""
