"""The cloaking systems, one file each; `cloaker.levels` has their table."""
