"""Run sertool as a program: `sertool`, or `python -m sertool`."""


def main() -> None:
    """Run the command line and exit."""
    from sertool.cli.main import main

    main()


if __name__ == "__main__":
    main()
