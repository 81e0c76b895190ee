"""`python -m lakealbum`."""

from lakealbum import main

main()
