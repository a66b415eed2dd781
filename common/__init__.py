"""What both trees need and no framework is needed for. Imports neither torch nor paddle."""
