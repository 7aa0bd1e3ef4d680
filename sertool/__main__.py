"""Run sertool as a program: `sertool`, or `python -m sertool`."""

import sys


def main() -> None:
    """Run the command line and exit."""
    try:
        from sertool.cli.main import main
    except KeyboardInterrupt:
        # Before anything is there that could say it better.
        print("error: interrupted: run the same command again", file=sys.stderr)
        sys.exit(130)
    main()


if __name__ == "__main__":
    main()
