"""Many runs of one notebook: what is asked for, running it, and the page that links them all."""
