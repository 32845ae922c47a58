"""From photos as networks saw them to the rows of `audit evaluate`'s tables, a file a table."""
