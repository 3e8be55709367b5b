"""`python -m systrace`, and the console script."""

from systrace.commands import main

if __name__ == "__main__":
    main()
