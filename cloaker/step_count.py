"""How far batches on other machines are: an actor that imports nothing, so that it starts at once."""


class StepCount:
    """Hears from the workers, and tells who asks, how many steps each batch has taken.

    The steps of each face are counted. A batch that was begun again has fewer than before.
    """

    def __init__(self) -> None:
        self._taken: dict[int, int] = {}

    def note(self, batch: int, taken: int) -> None:
        """Note how many steps a batch has taken."""
        self._taken[batch] = taken

    def taken(self) -> dict[int, int]:
        """Return the steps of the batches that took some since this was asked last."""
        taken, self._taken = self._taken, {}
        return taken
