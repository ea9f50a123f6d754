"""Seeds derived from a seed, as ``searcher`` derives them: the same numbers, so that its workers and these open equal jobs."""

from __future__ import annotations

MASK = 2**32 - 1


def seed_for(seed: int, number: int, purpose: str) -> int:
    """Derives a seed: the purpose is hashed (FNV-1a) into the counter of one Philox4x32-10 block keyed by the seed."""
    tag = 0xCBF29CE484222325
    for byte in purpose.encode():
        tag = (tag ^ byte) * 0x100000001B3 % 2**64
    counter = [number & MASK, number >> 32, tag & MASK, tag >> 32]
    block = _philox(counter, [seed & MASK, seed >> 32])
    return block[0] << 32 | block[1]


def _philox(counter: list[int], key: list[int]) -> list[int]:
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        product0, product1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (product1 >> 32) ^ c1 ^ k0, product1 & MASK, (product0 >> 32) ^ c3 ^ k1, product0 & MASK
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return [c0, c1, c2, c3]
