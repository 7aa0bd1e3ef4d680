"""Run sertool as a module."""

from sertool.cli.main import main

if __name__ == "__main__":
    main()
