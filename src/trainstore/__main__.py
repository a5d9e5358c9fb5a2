"""The command line: ``trainstore``, and ``python -m trainstore``."""

import sys


def run() -> None:
    """Load the command line and run it; Ctrl-C while it is loading is as quiet as later."""
    try:
        from trainstore.cli import main
    except KeyboardInterrupt:
        sys.exit(130)
    main()


if __name__ == "__main__":
    run()
