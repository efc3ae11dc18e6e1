class Cell:
    name: str
    gates: tuple[str, ...]
    states: tuple[str, ...]
    kept: int
    recurrent_from: int
    input_roll: int
    def __init__(
        self,
        name: str,
        *,
        gates: tuple[str, ...],
        states: tuple[str, ...],
        kept: int,
        recurrent_from: int = 0,
        input_roll: int = 0,
    ) -> None: ...
