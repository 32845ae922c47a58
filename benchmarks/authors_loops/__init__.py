"""Plain loops that are built as the authors of each cloaking system built theirs, one step apart.

One photo at a time, in float32, on the aligned crop; what the authors compute again in each step is
computed again. What happens once in a run, and what takes no time, is left out. Nothing is computed
that the authors' code does not compute: which, each module says with its source.
"""
