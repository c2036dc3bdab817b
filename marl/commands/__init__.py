"""The command line: parse, call one function, say where the result is."""
