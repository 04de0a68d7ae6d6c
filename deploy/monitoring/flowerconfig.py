"""Read by Flower as it starts: without a user and a password for its page, it must not start."""

import os

if not all(os.environ.get("FLOWER_BASIC_AUTH", "").partition(":")):
    raise SystemExit(
        "error: Flower has no user and password for its page\n"
        "  why: FLOWER_BASIC_AUTH is not set as USER:PASSWORD\n"
        "  do:  ./setup.sh, or FLOWER_BASIC_AUTH=... in .env (see .env.example)"
    )
