"""Safe readers and writers of files that hold weights and arrays."""
