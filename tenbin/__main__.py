"""`python -m tenbin` is the command."""

from tenbin.cli import main

if __name__ == "__main__":
    main()
