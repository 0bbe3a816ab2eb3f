"""The paper's system: its networks, the terms of its loss (Eq. 25-29), and the way of weights to and from the disk.

How it is trained is in `huenet.train`; colour transfer without a network in `huenet.methods`.
"""
