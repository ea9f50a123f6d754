"""Uniform points: what every optimiser has to beat."""

import random

from bench.search.peers.speaking import serve


class RandomPoints:
    """Recommends the best observed point."""

    def __init__(self, dimension: int, seed: int) -> None:
        self.dimension = dimension
        self.source = random.Random(seed)
        self.values: list[float] = []

    def suggest(self) -> list[float]:
        return [self.source.random() for _ in range(self.dimension)]

    def tell(self, point: list[float], value: float) -> None:
        self.values.append(value)

    def recommend(self) -> int:
        return max(range(len(self.values)), key=self.values.__getitem__)


if __name__ == "__main__":
    serve(RandomPoints)
