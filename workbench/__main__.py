"""`python -m workbench` is the console command."""

from workbench.cli import main

main()
