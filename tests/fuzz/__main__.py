"""Tries hostile inputs: ``python -m tests.fuzz --count 5000 --seed 1``, or ``make fuzz``."""

from __future__ import annotations

import argparse
import sys

from tests.fuzz.campaign import campaign


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="inputs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3600.0, help="end after so long")
    parser.add_argument("--only", default="", help="inputs whose name has this in it")
    chosen = parser.parse_args()
    found = campaign(chosen.count, chosen.seed, chosen.seconds, chosen.only)
    for kind, tried in sorted(found.outcomes.items()):
        sys.stdout.write(f"{kind:12} {sum(tried.values()):6}  {dict(tried)}\n")
    total = sum(sum(tried.values()) for tried in found.outcomes.values())
    sys.stdout.write(f"{total} inputs, {len(found.failures)} failures\n")
    for failure in found.failures:
        sys.stdout.write(f"  {failure}\n")
    return 1 if found.failures else 0


if __name__ == "__main__":
    sys.exit(main())
