"""Forms: made from a verb's parameters alone, they write its line and run it."""
