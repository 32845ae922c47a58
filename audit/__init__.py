"""The experiment: its command line, plan, ledger, pacing and runner."""
