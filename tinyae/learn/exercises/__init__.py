"""What is checked in each exercise, and its hints: one file each."""
