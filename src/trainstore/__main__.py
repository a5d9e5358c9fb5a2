"""``python -m trainstore``: the command line."""

from trainstore.cli import main

if __name__ == "__main__":
    main()
