"""Numbers that need NumPy alone: one random generator, and fingerprints of tensors."""
