"""`python -m pudato` is the command `pudato`."""

from pudato._cli import main

raise SystemExit(main())
