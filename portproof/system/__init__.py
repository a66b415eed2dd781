"""The machine and the process: errors, the command line, files, memory, the processor."""
