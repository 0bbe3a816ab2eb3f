"""What a primitive is, and how each array library differentiates one: NumPy's tape, torch, JAX.

No formula of the field lives here, and no library is imported before its first array arrives.
"""
