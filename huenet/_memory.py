"""Telling want of memory from other errors."""

__all__ = ["ran_out"]


def ran_out(error: BaseException) -> bool:
    """Whether an allocation failed: as NumPy and Pillow say it, or torch, which has no class of its own for the CPU."""
    text = str(error)
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and "memory" in text and ("allocate" in text or "alloc_cpu" in text)
    )
