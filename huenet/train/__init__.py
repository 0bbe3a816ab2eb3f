"""Training: the loop, its run folder, and what is written, drawn and watched while it goes on.

What a trained network is made of lives in `huenet.model`, photographs and pairs in `huenet.data`.
"""

from huenet.train.loop import main, train

__all__ = ["main", "train"]
