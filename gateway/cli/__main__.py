"""`python -m gateway.cli` is `kubetape`."""

from gateway.cli import main

if __name__ == "__main__":
    main()
