"""Reports: notebooks that are run with parameters, and exported as one self-contained page that opens offline."""
