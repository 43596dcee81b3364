"""`python -m gateway` is `kubetape`."""

from gateway.cli import main

if __name__ == "__main__":
    main()
