"""A photo on its way out: its bytes, and a note in the ledger if they had to be changed."""

from audit.ledger import Ledger
from audit.uploads import PhotoBytes


class Sender:
    """Hands out the bytes to send."""

    def __init__(self, photo_bytes: PhotoBytes, ledger: Ledger) -> None:
        self._photo_bytes = photo_bytes
        self._ledger = ledger
        self._noted = {(row["arm"], row["photo"]) for row in ledger.changes()}

    def photo(self, arm: str, sha256: str) -> bytes:
        """Return the bytes that stand for a photo in an arm, once their change is on record."""
        upload = self._photo_bytes(arm, sha256)
        if upload.change and (arm, sha256) not in self._noted:
            self._ledger.note_change(arm, sha256, upload.data, upload.change)
            self._noted.add((arm, sha256))
        return upload.data
