"""One picture file in and out, losing nothing of it: pixels of any depth, transparency, colour profile, EXIF.

Folders of pictures for training are in `huenet.data`, jobs over many files in `huenet.transfer`.
"""
